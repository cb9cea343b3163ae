# $1 job, $2 offset, $3 most bytes, $4 tenths of a second to wait for something new.
# Answers the state, the size and the dropped bytes on two lines, then the bytes.
d=$jobs/$1
n=$4
length() {
    if [ -f "$d/output" ]; then wc -c <"$d/output"; else echo 0; fi
}
while [ "$n" -gt 0 ] && [ -d "$d" ] && [ ! -f "$d/exit" ] && [ "$(length)" -le "$2" ]; do
    n=$((n - 1))
    sleep 0.1
done
# The state first: what an ended job wrote is all there when its length is taken after.
state=$(job_state "$1") || exit 1
dropped=0
if [ -s "$d/dropped" ]; then dropped=$(cat "$d/dropped"); fi
echo "$state"
echo "$(length) $dropped"
if [ -f "$d/output" ]; then tail -c "+$(($2 + 1))" "$d/output" | head -c "$3"; fi
