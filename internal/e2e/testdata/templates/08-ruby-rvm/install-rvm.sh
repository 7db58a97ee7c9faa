#!/bin/sh
set -eu

sudo apt-get update -q
sudo DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends ruby
mkdir -p .rvm/scripts
cat > .rvm/scripts/rvm <<'EOF'
rvm() { echo "rvm is a function: $*"; }
rvm_path=$HOME/.rvm
export rvm_path
EOF
echo '. ~/.rvm/scripts/rvm' >> ~/.profile
