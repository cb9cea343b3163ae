# Main process of a job's unit. $1 job. Its file is read and deleted before anything else happens.
id=$1
d=/var/lib/coxswain/jobs/$id
umask 077
LC_ALL=C
export LC_ALL
exec 3<"/run/coxswain/$id/job" || exit 1
rm -rf "/run/coxswain/$id"
if [ -e "$d/stopped" ]; then exit 0; fi
: >"$d/started"

# The notation of loader.rs: p and the text as it is, or e and the text for printf %b.
take() {
    IFS= read -r v <&3 || exit 1
    case $v in
    p*) v=${v#p} ;;
    *)
        v=$(printf %b_ "${v#e}")
        v=${v%_}
        ;;
    esac
}
HOME=/root
export HOME
take
n=$v
while [ "$n" -gt 0 ]; do
    take
    export "$v"
    n=$((n - 1))
done
take
n=$v
set --
while [ "$n" -gt 0 ]; do
    take
    set -- "$@" "$v"
    n=$((n - 1))
done
take
script=$v
v=
exec 3<&-

# Copies what comes, as it comes: dd writes after each read. The cap is 64 MiB, to the next 64 KiB below.
keep() {
    left=1024
    size=0
    while [ "$left" -gt 0 ]; do
        before=$size
        dd bs=65536 count="$left" 2>/dev/null >>"$d/output"
        size=$(wc -c <"$d/output")
        if [ "$size" -eq "$before" ]; then return; fi
        left=$(((67108864 - size) / 65536))
    done
    wc -c >"$d/dropped"
}
mkfifo "$d/pipe" || exit 1
keep <"$d/pipe" &
keeper=$!
(
    exec >"$d/pipe" 2>&1 </dev/null
    umask 022
    cd /
    eval "$script"
)
code=$?
# A process the script left behind may hold the pipe; it ends with the unit, and is waited for only this long.
(sleep 5; kill "$keeper") 2>/dev/null &
wait "$keeper" 2>/dev/null
rm -f "$d/pipe"
echo "$code" >"$d/exit.tmp"
sync "$d/output" "$d/exit.tmp"
mv "$d/exit.tmp" "$d/exit"
sync "$d"
