#!/bin/sh -e
sudo apt-get -q update
sudo apt-get -q -y install --no-install-recommends ansible-core
