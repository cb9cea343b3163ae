# $1 job.
state=$(job_state "$1") || exit 1
if [ "$state" = running ]; then
    echo "job $1 still runs" >&2
    exit 1
fi
systemctl reset-failed "coxswain-$1.service" 2>/dev/null
rm -rf "$files/$1" "$jobs"/.gone-*
# Gone at once or not at all, as others see it.
if [ -d "$jobs/$1" ]; then mv "$jobs/$1" "$jobs/.gone-$1" && rm -rf "$jobs/.gone-$1"; fi
