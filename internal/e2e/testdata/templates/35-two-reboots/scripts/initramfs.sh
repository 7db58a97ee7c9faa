#!/bin/sh
echo second | sudo tee -a /opt/kernel/BUILT > /dev/null
sudo systemctl reboot
sleep 60
