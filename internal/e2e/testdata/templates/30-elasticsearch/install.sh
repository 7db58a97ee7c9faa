#!/usr/bin/env bash
set -euo pipefail
sudo mkdir -p /etc/elasticsearch
sudo mv "$WORKING_DIR/elasticsearch.yml" /etc/elasticsearch/
sudo mv "$WORKING_DIR/bin/es-health" /usr/local/bin/
sudo chown root:root /usr/local/bin/es-health
echo "* - nofile 65535" | sudo tee /etc/security/limits.d/es.conf
echo "$ES_VERSION" | sudo tee /etc/elasticsearch/version
