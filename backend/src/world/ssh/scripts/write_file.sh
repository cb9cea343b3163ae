# $1 path, $2 mode, $3 size; content on standard input. A broken connection looks like its end: hence the size.
set -e
umask 077
folder=$(dirname -- "$1")
new=$(mktemp -- "$1.coxswain.XXXXXX")
trap 'rm -f -- "$new"' EXIT
cat >"$new"
if [ "$(wc -c <"$new")" -ne "$3" ]; then
    echo "the content arrived incomplete" >&2
    exit 1
fi
chmod -- "$2" "$new"
sync -- "$new"
mv -fT -- "$new" "$1"
sync -- "$folder"
