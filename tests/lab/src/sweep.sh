# Waits until its standard input ends, which happens when the lab is dropped and also when its process dies in any
# way, and then removes what the lab made. Everything here is found by lineage: namespaces that bear the lab's own
# name, the processes in them and those processes' children, and the lab's own folder.
#   $1  what the lab's names begin with, e.g. ft123-0
#   $2  the lab's folder
trap '' INT TERM HUP PIPE
cat > /dev/null
name=$1 dir=$2
docker=/usr/bin/docker
[ -x "$docker" ] || docker=docker
socket=$dir/docker/docker.sock

children() {
    for child in $(cat /proc/"$1"/task/*/children 2> /dev/null); do
        echo "$child"
        children "$child"
    done
}
ours() {
    for part in node players attackers; do
        [ -e "/run/netns/$name-$part" ] || continue
        for pid in $(ip netns pids "$name-$part" 2> /dev/null); do
            echo "$pid"
            children "$pid"
        done
    done | sort -un
}
gone() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -z "$(ours)" ] && return 0
        sleep 0.1
    done
    return 1
}

if [ -S "$socket" ] && [ -n "$(ours)" ]; then
    containers=$(timeout 10 "$docker" -H "unix://$socket" ps -aq 2> /dev/null)
    [ -z "$containers" ] || timeout 20 "$docker" -H "unix://$socket" rm -f $containers > /dev/null 2>&1
fi
pids=$(ours)
[ -z "$pids" ] || kill $pids 2> /dev/null
gone || {
    pids=$(ours)
    [ -z "$pids" ] || kill -9 $pids 2> /dev/null
    gone
}
# Innermost mounts first.
awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount" 2> /dev/null
done
for part in node players attackers; do
    [ -e "/run/netns/$name-$part" ] && ip netns delete "$name-$part" 2> /dev/null
done
case $dir in
    /*/ft*) rm -rf "$dir" ;;
esac
