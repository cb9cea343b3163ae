# $1 job.
job_state "$1"
