# $1 path, $2 most bytes to send.
if [ ! -e "$1" ]; then
    exit 44
fi
if [ ! -f "$1" ]; then
    echo "$1 is not a regular file" >&2
    exit 1
fi
exec head -c "$2" -- "$1"
