holds /home/debian/rails/setup.txt 'debian in /home/debian, built by rails'
is /home/debian/rails/setup.txt -rw-r--r-- debian
holds /etc/rvm-type 'rvm is a function'
described '"Name": "rails 20'
