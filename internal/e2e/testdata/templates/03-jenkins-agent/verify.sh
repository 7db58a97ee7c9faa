holds /home/jenkins/agent.properties 'user=jenkins'
holds /home/jenkins/agent.properties 'home=/home/jenkins'
holds /home/jenkins/agent.properties 'cwd=/home/jenkins'
is /home/jenkins/agent.properties -rw------- jenkins
is /home/jenkins/workspace drwxr-xr-x jenkins
is /home/jenkins/bin/run-agent -rwxr-xr-x jenkins
holds /home/jenkins/.gitconfig jenkins@example.com
is /etc/sudoers.d/90-jenkins -r--r----- root
absent /tmp/home
described '"Key": "BuildNumber", "Value": "42"' '"Name": "jenkins-agent-42-20'
