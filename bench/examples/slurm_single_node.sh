#!/bin/sh
# Slurm on this machine alone, to try launcher=slurm. As root on Debian, after `apt-get install slurm-wlm munge`:
#   bench/examples/slurm_single_node.sh .venv/bin/bench run suite=smoke launcher=slurm
#   bench/examples/slurm_single_node.sh .venv/bin/python -m pytest tests/sweep/test_launchers.py -k slurm   kills jobs of it
# It starts munged, slurmctld and slurmd with a configuration in a folder of its own, runs the command and ends them.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 COMMAND …" >&2; exit 2; }
for program in munged slurmctld slurmd; do
    command -v "$program" > /dev/null || { echo "$0: no $program; apt-get install slurm-wlm munge" >&2; exit 2; }
done

folder=$(mktemp -d)
chmod 755 "$folder"
node=$(hostname -s)
socket="$folder/munge.socket"

end() {
    for daemon in slurmd slurmctld munged; do
        [ ! -f "$folder/$daemon.pid" ] || kill "$(cat "$folder/$daemon.pid")" 2> /dev/null || true
    done
    sleep 1
    rm -rf "$folder"
}
trap end EXIT

mkdir "$folder/state" "$folder/spool"
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2> /dev/null
chmod 400 "$folder/munge.key"
munged --force --socket="$socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"

cat > "$folder/slurm.conf" << CONF
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP
CONF
# Accounts need a database. Of jobs that ended within five minutes the controller knows what launcher=slurm asks of sacct.
mkdir "$folder/bin"
cat > "$folder/bin/sacct" << 'SACCT'
#!/bin/sh
echo "JobID|State|NodeList"
scontrol --oneliner show job | awk '{
    for (i = 1; i <= NF; i++) { at = index($i, "="); value[substr($i, 1, at - 1)] = substr($i, at + 1) }
    name = value["ArrayJobId"] ? value["ArrayJobId"] "_" value["ArrayTaskId"] : value["JobId"]
    print name "|" value["JobState"] "|" value["NodeList"]
    split("", value)
}'
SACCT
chmod 755 "$folder/bin/sacct"
export PATH="$folder/bin:$PATH" SLURM_CONF="$folder/slurm.conf"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
tries=0
until sinfo --noheader --states=idle 2> /dev/null | grep -q idle; do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || { cat "$folder"/*.log >&2; exit 2; }
    sleep 1
done
"$@"
