# $1 job, $2 most seconds, $3 size of the job's file, $4 the runner; the job's file on standard input.
# Status 17: claimed before. Otherwise, when it fails, nothing was started and nothing is left.
umask 077
d=$jobs/$1
f=$files/$1
unit=coxswain-$1.service
mkdir -p "$jobs" "$files" || exit 1
chmod 0700 /var/lib/coxswain "$jobs" "$files" || exit 1
if ! said=$(mkdir "$d" 2>&1); then
    if [ -d "$d" ]; then exit 17; fi
    echo "$said" >&2
    exit 1
fi
give_up() {
    echo "$1" >&2
    rm -rf "$f" "$d"
    exit 1
}
cat /proc/sys/kernel/random/boot_id >"$d/boot_id" || give_up "no boot id"
rm -rf "$f"
mkdir "$f" || give_up "no room in $files"
cat >"$f/job" || give_up "no room in $files"
[ "$(wc -c <"$f/job")" -eq "$3" ] || give_up "the job arrived incomplete"
printf %s "$4" >"$f/runner" || give_up "no room in $files"
: >"$d/output" || give_up "no room in $jobs"
# The claim must outlive a power cut, or the job could run a second time after it.
sync "$d/boot_id" "$d" "$jobs" || give_up "the claim could not be written to the disk"
if [ -e "$d/stopped" ]; then give_up "stopped before it started"; fi
if ! said=$(systemd-run --quiet --unit="$unit" --description="Coxswain job $1" \
    --property="RuntimeMaxSec=$2" --property=TimeoutStopSec=10 --property=KillMode=control-group \
    /bin/sh "$f/runner" "$1" 2>&1); then
    # Whatever the reason: it must not run once the claim is gone.
    systemctl stop "$unit" 2>/dev/null
    if [ ! -e "$d/started" ]; then give_up "systemd-run: $said"; fi
fi
cat "$d/boot_id"
