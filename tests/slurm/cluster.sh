#!/usr/bin/env bash
# A real Slurm for the tests: one node on this machine, without systemd, control groups or accounting.
#   cluster.sh start FOLDER             in a new FOLDER; then export SLURM_CONF=FOLDER/slurm.conf and use sbatch
#   cluster.sh wait FOLDER JOB [S]      up to S seconds (60) for the end of JOB, or of all tasks of an array; prints
#                                       STATE EXIT-CODE of each. 124: not in time
#   cluster.sh stop FOLDER              cancels what runs and ends the daemons
# Works as root and as an ordinary user, whose jobs then run as that user. Needs Debian's slurm-wlm and munge.
# Listens on 127.0.0.1, or, where that is not the address of the host's name, on every interface; who does not have
# the key in FOLDER is refused.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
umask 077

fail() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

[[ $# -ge 2 && $2 == /* ]] || fail "usage: cluster.sh start|stop|wait FOLDER (an absolute path)"
folder=$2
host=$(hostname -s)
daemons=(slurmd slurmctld munged) # in the order in which they are ended
export SLURM_CONF=$folder/slurm.conf

# The process id of a daemon, if its recorded process still is one that was started with this folder.
pid_of() {
  local pid
  pid=$(cat "$folder/$1.pid" 2>/dev/null) && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$folder/" &&
    echo "$pid"
}

# Two ports side by side that nobody listens on, below those that the system hands out.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    if ! { : <"/dev/tcp/127.0.0.1/$port" || : <"/dev/tcp/127.0.0.1/$((port + 1))"; } 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  fail "no free port"
}

write_configuration() {
  local port bind=NoCtldInAddrAny,NoInAddrAny
  port=$(free_port)
  if [[ $(getent ahostsv4 "$host" | awk 'NR == 1 { print $1 }') != 127.0.0.1 ]]; then
    echo "cluster: the host's name $host is not 127.0.0.1: Slurm listens on every interface" >&2
    bind=
  fi
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
# A requeued job waits as long as credentials are valid: 5 s is the least.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
${bind:+CommunicationParameters=$bind}
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
TmpFS=$folder/tmp
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
ReturnToService=2
# The node is what is written here, whatever the machine is; what can never run is refused.
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
KillWait=5
# No half minutes between two looks at the queue.
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=1000 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=1-00:00:00 DefaultTime=5 State=UP
END
  # slurmd loads a control-group plugin though nothing here uses one: away from the system's.
  if dpkg --compare-versions "$(slurmd -V | awk '{ print $NF }')" ge 24.05; then
    echo 'CgroupPlugin=disabled'
  else
    printf '%s\n' CgroupPlugin=cgroup/v1 "CgroupMountpoint=$folder/none" CgroupAutomount=no
  fi >"$folder/cgroup.conf"
  : >"$folder/plugstack.conf"
}

start() {
  local program munge
  for program in munged slurmctld slurmd sbatch dpkg; do
    command -v "$program" >/dev/null || fail "no $program: apt-get install -y --no-install-recommends slurm-wlm munge"
  done
  ((${#folder} < 70)) || fail "the path is too long for unix sockets: $folder"
  mkdir -p "$folder" # also a new, empty one
  [[ -z $(ls -A "$folder") ]] || fail "$folder is not empty"
  mkdir "$folder"/{state,spool,tmp}
  chmod 755 "$folder" # munged insists that others may reach its socket
  write_configuration

  head -c 128 /dev/urandom >"$folder/munge.key"
  munge=(--socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid"
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" --num-threads=2 --origin=127.0.0.1)
  # With --force it only warns of folders that it would rather have otherwise.
  munged "${munge[@]}" 2>/dev/null || munged --force "${munge[@]}" || fail "munged does not start"
  if ! { slurmctld -c -f "$SLURM_CONF" && slurmd -f "$SLURM_CONF" && wait_for_node; }; then
    tail -n 5 "$folder"/slurm*.log >&2 || true
    stop
    fail "Slurm does not start"
  fi
}

wait_for_node() {
  local end=$((SECONDS + 30))
  until [[ $(timeout 5 sinfo -h -N -o %T 2>/dev/null) == idle ]]; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# Whether slurmd still has steps of jobs.
steps_left() { compgen -G "$folder/spool/*_[0-9]*.[0-9]*" >/dev/null; }

stop() {
  local daemon pid i
  # slurmd leaves the steps of its jobs running when it ends: the jobs go first.
  if pid_of slurmctld >/dev/null; then
    timeout 5 squeue -h -o %A | sort -u | xargs -r timeout 5 scancel || true
    for ((i = 0; i < 150; i++)); do
      [[ -n $(timeout 5 squeue -h || true) ]] || steps_left || break
      sleep 0.1
    done
  fi
  for daemon in "${daemons[@]}"; do
    pid=$(pid_of "$daemon") || continue
    kill "$pid" || continue
    for ((i = 0; i < 100; i++)); do
      [[ -d /proc/$pid ]] || continue 2
      sleep 0.1
    done
    kill -9 "$pid"
  done
  if steps_left; then fail "steps of jobs are left: $(echo "$folder"/spool/*_*)"; fi
}

wait_for_job() {
  local job=$1 end=$((SECONDS + ${2:-60})) shown
  local ended='BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|TIMEOUT'
  while :; do
    shown=$(scontrol -o show job "$job") || fail "no job $job"
    shown=$(sed -E 's/.* JobState=([A-Z_]+) .* ExitCode=([0-9]+):.*/\1 \2/' <<<"$shown")
    grep -qvE "^($ended) " <<<"$shown" || break
    ((SECONDS < end)) || { echo "$shown" && return 124; }
    sleep 0.2
  done
  echo "$shown"
}

case $1 in
  start) start ;;
  stop) stop ;;
  wait) wait_for_job "${@:3}" ;;
  *) fail "start, stop or wait, not $1" ;;
esac
