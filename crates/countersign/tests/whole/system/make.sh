# The build: what the images are made of.
set -e
mkdir -p out
cp /usr/bin/busybox out/busybox
cp counter.sh out/counter
cp list.sh out/list
cp well.sh out/well
cp greedy.sh out/greedy
cp web.sh out/web
cp account.sh out/account
chmod 755 out/*
