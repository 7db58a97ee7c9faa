#!/usr/bin/env bash
# runs as jenkins, in its home
mkdir -p "$HOME/workspace"
{
  echo "user=$(whoami)"
  echo "home=$HOME"
  echo "cwd=$PWD"
} > agent.properties
chmod 0600 agent.properties
