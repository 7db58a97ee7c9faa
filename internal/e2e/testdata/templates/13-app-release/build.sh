#!/bin/sh
set -eu
mkdir -p build/tree/bin build/tree/lib
printf '#!/bin/sh\necho "%s"\n' "$RELEASE" > build/tree/bin/app
chmod 755 build/tree/bin/app
i=0
while [ $i -lt 200 ]; do
  echo "part $i" > "build/tree/lib/part-$i.txt"
  i=$((i + 1))
done
head -c 100000 /dev/urandom > build/tree/lib/model.bin # too large for user data
tar -C build/tree -czf build/app.tar.gz .
