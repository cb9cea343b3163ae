# $1 path. Answers the size on a line, then so many bytes.
if [ ! -e "$1" ]; then
    exit 44
fi
if [ ! -f "$1" ]; then
    echo "$1 is not a regular file" >&2
    exit 1
fi
size=$(wc -c <"$1") || exit 1
echo "$size"
exec head -c "$size" -- "$1"
