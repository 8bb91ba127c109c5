#!/bin/sh
# beside.sh FOLDER COMMAND...: run a command with the packages unpacked in FOLDER as if they were
# installed; all such commands of a host see the same files, and what they write is the host's
set -e
folder=$1
shift
if ! [ -e /run/beside/ready ]; then
    mkdir -p /run/beside/etc /run/beside/work
    UNPACKED=$folder unshare --mount sh -ec '
        mount -t overlay -o "lowerdir=$UNPACKED/usr:/usr" programs /usr
        mount -t overlay -o "lowerdir=$UNPACKED/etc:/etc,upperdir=/run/beside/etc,workdir=/run/beside/work" \
            settings /etc
        echo $$ >/run/beside/pid
        mv /run/beside/pid /run/beside/ready
        exec sleep infinity' </dev/null >/dev/null 2>&1 &
    while ! [ -e /run/beside/ready ]; do sleep 0.05; done
fi
exec nsenter --mount --target="$(cat /run/beside/ready)" -- "$@"
