holds /etc/java-service/env 'JAVA_OPTS=-Xmx256m -Dspring.profiles.active=staging'
is /etc/java-service/env -rw-r----- root:java-service
# shellcheck disable=SC2016
holds /etc/systemd/system/java-service.service 'ExecStart=/usr/bin/java $JAVA_OPTS -jar'
links /etc/systemd/system/multi-user.target.wants/java-service.service /etc/systemd/system/java-service.service
described '"Key": "Environment", "Value": "staging"' '"VolumeType": "gp3"' '"Encrypted": true'
