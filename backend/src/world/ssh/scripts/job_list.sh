for entry in "$jobs"/*; do
    if [ -d "$entry" ]; then echo "${entry##*/} $(job_state "${entry##*/}")"; fi
done
