# Where jobs live, and what became of one. The claim is the folder; $d/exit appears by renaming once all is over.
jobs=/var/lib/coxswain/jobs
files=/run/coxswain

unit_property() {
    value=$(systemctl show --property="$2" "coxswain-$1.service") || value=
    value=${value#*=}
    if [ -z "$value" ]; then
        echo "systemd does not say what became of coxswain-$1.service" >&2
        exit 1
    fi
    echo "$value"
}

# absent | running | exited N | died rebooted|stopped|timeout|never|gone|<systemd's Result>
job_state() {
    d=$jobs/$1
    if [ ! -d "$d" ]; then echo absent; return; fi
    if [ -f "$d/exit" ]; then echo "exited $(cat "$d/exit")"; return; fi
    active=$(unit_property "$1" ActiveState) || exit 1
    case $active in
    active | activating | deactivating | reloading) echo running; return ;;
    esac
    # It may have ended between the two looks.
    if [ -f "$d/exit" ]; then echo "exited $(cat "$d/exit")"; return; fi
    if [ -f "$d/stopped" ]; then echo died stopped; return; fi
    if [ -s "$d/boot_id" ] && [ "$(cat "$d/boot_id")" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then
        echo died rebooted
        return
    fi
    if [ ! -f "$d/started" ]; then
        # The command that starts it is itself ended after less than a minute.
        if [ -n "$(find "$d" -maxdepth 0 -mmin -1)" ]; then echo running; else echo died never; fi
        return
    fi
    result=$(unit_property "$1" Result) || exit 1
    # A unit that is gone has the default here.
    if [ "$result" = success ]; then result=gone; fi
    echo "died $result"
}
