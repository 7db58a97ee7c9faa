is /home/steam/valheim/start_server.sh -rwxr-xr-x steam
holds /home/steam/valheim/start_server.sh '-port 2456'
holds /etc/game-crontab /sbin/reboot
absent /home/debian/start_server.sh
described '"Name": "Game Server (prod)-' '"VolumeSize": 10'
