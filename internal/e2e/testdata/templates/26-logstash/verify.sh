holds /etc/logstash/conf.d/10-input.conf 'port => 5044'
holds /etc/logstash/conf.d/90-output.conf stdout
holds /etc/logstash/version 8.15
is /etc/logstash/conf.d/10-input.conf -rw-r--r-- root
described '"Name": "logstash-8.15-20' '"Description": "Logstash 8.15"' '"VolumeSize": 50'
