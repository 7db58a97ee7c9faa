#!/bin/sh
echo "appliance on $(hostname)"
