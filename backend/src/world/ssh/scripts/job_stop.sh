# $1 job.
d=$jobs/$1
unit=coxswain-$1.service
if [ ! -d "$d" ] || [ -f "$d/exit" ]; then exit 0; fi
# Before the unit is stopped: a start that is under way sees it and does nothing.
: >"$d/stopped"
if [ "$(unit_property "$1" LoadState)" != not-found ]; then systemctl stop "$unit" || exit 1; fi
active=$(unit_property "$1" ActiveState) || exit 1
case $active in
inactive | failed) rm -rf "$files/$1" ;;
*)
    echo "$unit is still $active" >&2
    exit 1
    ;;
esac
