#!/bin/bash
set -eu -o pipefail

test -d /tmp/runner/hooks
sudo useradd --system --create-home --home-dir /var/lib/gitlab-runner gitlab-runner
sudo mkdir /etc/gitlab-runner
sudo cp -a /tmp/runner/. /etc/gitlab-runner/
sudo chown -R root:root /etc/gitlab-runner
echo "$RUNNER_VERSION" | sudo tee /etc/gitlab-runner/version
( cd /tmp && [[ $(stat -c %U runner) == "$USER" ]] )
