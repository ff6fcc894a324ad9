#!/usr/bin/env bash
# A Slurm cluster of several nodes on this one machine, in Linux namespaces. Each node has its own host name, network
# address, process table, /tmp, /dev/shm and slurmd; everything else is shared, as with a network file system. Nothing is
# reachable from outside: the nodes hang on a bridge inside the login node's network namespace.
#   cluster.sh up FOLDER [SEEN ..]      a login node and the nodes n1, n2, ..; of /tmp they see FOLDER and SEEN only
#   cluster.sh on FOLDER HOST [-u USER] [-d DIR] COMMAND [WORD ..]
#                                       on login, n1, ..: in a clean login environment. The user physicist exists there
#   cluster.sh crash FOLDER NODE        its power fails: the cable is out, and every process of it is gone
#   cluster.sh boot FOLDER NODE         start it again
#   cluster.sh wait FOLDER JOB [S]      up to S seconds (120) for the end of JOB, or of all tasks of an array; prints
#                                       STATE EXIT-CODE RESTARTS NODES of each. 124: not in time
#   cluster.sh status FOLDER
#   cluster.sh down FOLDER              ends every process of the cluster; its mounts go with the namespaces
# Needs root, and Debian's slurm-wlm, munge, iproute2 and util-linux. `up` reads from the environment:
#   CLUSTER_NODES=3   CLUSTER_CPUS=2 (of each node; may be more than there are)   CLUSTER_KILLWAIT=30 (Slurm's default)
#   CLUSTER_EXTRA (lines for slurm.conf)
# Partitions: batch (default; preempted jobs are requeued), grace (the same, GraceTime 20 s), scavenge (preempted jobs
# are cancelled), scavenge-grace (GraceTime 20 s), urgent (preempts all others).
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
umask 022

fail() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

[[ $# -ge 2 && $2 == /* ]] || fail "usage: cluster.sh up|on|crash|boot|wait|status|down FOLDER (an absolute path) .."
command=$1 folder=$2
shift 2
state=$folder/cluster
network=10.77.0

nodes() { grep -v login "$state/names"; }

# Process 1 of a host, if the recorded one still is that.
pid_of() {
  local pid
  pid=$(cat "$state/$1.pid" 2>/dev/null) &&
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "cluster-host-$1 $1 $state" && echo "$pid"
}

address() { # of login 1, of nK 10 + K
  if [[ $1 == login ]]; then echo $network.1; else echo "$network.$((10 + ${1#n}))"; fi
}

# As root in all namespaces of a host.
inside() {
  local pid host=$1
  shift
  pid=$(pid_of "$host") || fail "$host is not up"
  nsenter --target "$pid" --net --uts --ipc --mount --pid -- "$@"
}

# What runs first in new namespaces: the host's own mounts, then it is process 1, which reaps orphans.
# shellcheck disable=SC2016
host_program='
set -e
host=$1 state=$2
shift 2
hostname "$host"
mount --make-rprivate /
mount -t tmpfs -o mode=1777 shm /dev/shm
mount --bind /tmp /mnt # the machine s, while the new one is put over it
mount -t tmpfs -o mode=1777 tmp /tmp
for seen; do
  case $seen in /tmp/*) mkdir -p "$seen"; mount --bind "/mnt/${seen#/tmp/}" "$seen" ;; esac
done
umount /mnt
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/munge /run/lock
mount --bind "$state/munge" /run/munge
mount --bind "$state/etc" /etc/slurm
for file in hosts passwd group; do mount --bind "$state/$file" "/etc/$file"; done
for file in openmpi prte; do
  file=$file-mca-params.conf
  [ ! -e "/etc/openmpi/$file" ] || mount --bind "$state/$file" "/etc/openmpi/$file"
done
ip link set lo up
trap : TERM
: >"$state/$host.ready"
while :; do sleep 100000 & wait $! || :; done
'

start_host() {
  local host=$1 parent i seen
  rm -f "$state/$host.ready"
  mapfile -t seen <"$state/seen"
  setsid unshare --net --uts --ipc --mount --pid --fork --kill-child --mount-proc \
    bash -c "$host_program" "cluster-host-$host" "$host" "$state" "${seen[@]}" </dev/null >"$state/log/$host.log" 2>&1 &
  parent=$!
  for ((i = 0; i < 12000; i++)); do
    if [[ -e $state/$host.ready ]] || ! kill -0 "$parent" 2>/dev/null; then break; fi
    sleep 0.05
  done
  [[ -e $state/$host.ready ]] || fail "$host does not come up: $(cat "$state/log/$host.log")"
  tr -d ' ' <"/proc/$parent/task/$parent/children" >"$state/$host.pid" # process 1 of the host, seen from here
  disown -a
}

connect() { # a cable from a node to the bridge
  inside login ip link delete "to-$1" 2>/dev/null || true
  nsenter --target "$(pid_of login)" --net -- ip link add "to-$1" type veth peer name eth0 netns "$(pid_of "$1")"
  inside login ip link set "to-$1" master br0 up
  inside "$1" ip address add "$(address "$1")/24" dev eth0
  inside "$1" ip link set eth0 up
}

write_configuration() {
  local list name partition
  list=$(nodes | paste -sd ,)
  {
    echo '127.0.0.1 localhost'
    while read -r name; do echo "$(address "$name") $name"; done <"$state/names"
  } >"$state/hosts"
  mkdir -p "$folder/home"
  {
    grep -v '^physicist:' /etc/passwd || true
    echo "physicist:x:54321:54321::$folder/home:/bin/bash"
  } >"$state/passwd"
  {
    grep -v '^physicist:' /etc/group || true
    echo 'physicist:x:54321:'
  } >"$state/group"
  chown 54321:54321 "$folder/home"
  cat >"$state/etc/slurm.conf" <<END
ClusterName=test
SlurmctldHost=login($(address login))
SlurmUser=root
AuthType=auth/munge
# A requeued job waits as long as credentials are valid: 5 s is the least.
AuthInfo=cred_expire=5
StateSaveLocation=$state/slurmctld
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=20
# A node is what is written here, whatever the machine is; what can never run is refused.
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
KillWait=${CLUSTER_KILLWAIT:-30}
JobRequeue=1
# No half minutes between two looks at the queue.
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$(for name in $(nodes); do
    echo "NodeName=$name NodeAddr=$(address "$name") CPUs=${CLUSTER_CPUS:-2} RealMemory=2000 State=UNKNOWN"
  done)
$(while read -r partition; do
    echo "PartitionName=$partition Nodes=$list MaxTime=1-00:00:00 DefaultTime=01:00:00 State=UP"
  done <<<'batch Default=YES PriorityTier=1 PreemptMode=REQUEUE
grace PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
scavenge PriorityTier=1 PreemptMode=CANCEL
scavenge-grace PriorityTier=1 PreemptMode=CANCEL GraceTime=20
urgent PriorityTier=10 PreemptMode=OFF')
${CLUSTER_EXTRA:-}
END
  # slurmd loads a control-group plugin though nothing here uses one: away from the system's.
  if dpkg --compare-versions "$(slurmd -V | awk '{ print $NF }')" ge 24.05; then
    echo 'CgroupPlugin=disabled'
  else
    printf '%s\n' CgroupPlugin=cgroup/v1 "CgroupMountpoint=$state/none" CgroupAutomount=no
  fi >"$state/etc/cgroup.conf"
  : >"$state/etc/plugstack.conf"
  # Ranks that wait must give way, as all nodes share a few processors, which Open MPI cannot know. Here no job script
  # and no environment sees it.
  {
    cat /etc/openmpi/openmpi-mca-params.conf 2>/dev/null || true
    printf '\nmpi_yield_when_idle = 1\n' # there may be no end of line before
  } >"$state/openmpi-mca-params.conf"
  # Open MPI 5 would refuse to bind ranks to processors that a node has in Slurm's eyes only.
  {
    cat /etc/openmpi/prte-mca-params.conf 2>/dev/null || true
    printf '\nhwloc_default_binding_policy = none\n'
  } >"$state/prte-mca-params.conf"
}

wait_until_idle() {
  local end=$((SECONDS + 600)) states=
  while ((SECONDS < end)); do
    states=$(inside login timeout 10 sinfo -h -N -o %T 2>/dev/null | sort -u) || true
    [[ $states != idle ]] || return 0
    sleep 0.2
  done
  echo "the nodes are $states, not idle" >&2
  tail -n 5 "$state"/log/slurm*.log >&2
  return 1
}

up() {
  local name program
  for program in munged slurmctld slurmd sbatch ip nsenter unshare dpkg; do
    command -v $program >/dev/null ||
      fail "no $program: apt-get install -y --no-install-recommends slurm-wlm munge iproute2 util-linux"
  done
  ((EUID == 0)) || fail "only root can make the nodes' namespaces"
  ((${#folder} < 70)) || fail "the path is too long for unix sockets: $folder"
  unshare --net --uts --ipc --mount --pid --fork --mount-proc true || fail "namespaces are forbidden here"
  ! pid_of login >/dev/null || fail "already up"
  rm -rf "$state"
  mkdir -p "$state"/{etc,log,munge,slurmctld,spool}
  chmod 755 "$folder" "$state" "$state/munge"
  { echo login; seq -f 'n%g' 1 "${CLUSTER_NODES:-3}"; } >"$state/names"
  printf '%s\n' "$folder" "$@" >"$state/seen"
  write_configuration
  # One munged for all: its socket is in a shared folder, at its usual place on every host.
  head -c 128 /dev/urandom >"$state/munge.key"
  chmod 600 "$state/munge.key"
  while read -r name; do start_host "$name"; done <"$state/names"
  inside login ip link add br0 type bridge
  inside login ip address add "$(address login)/24" dev br0
  inside login ip link set br0 up
  # With --force it only warns of folders that it would rather have otherwise.
  inside login munged --force --key-file="$state/munge.key" --pid-file="$state/munged.pid" \
    --log-file="$state/log/munged.log" --seed-file="$state/munge.seed" --num-threads=2 --origin="$(address login)" \
    2>"$state/log/munged.err" </dev/null
  inside login slurmctld -c </dev/null
  for name in $(nodes); do
    mkdir -p "$state/spool/$name"
    connect "$name"
    inside "$name" slurmd </dev/null
  done
  wait_until_idle || { down; fail "Slurm does not start; logs are in $state/log"; }
}

down() {
  local name pid i
  [[ -e $state/names ]] || return 0
  while read -r name; do
    pid=$(pid_of "$name") || continue
    kill -KILL "$pid" # process 1 of its table: the kernel ends all others with it
    for ((i = 0; i < 12000; i++)); do
      [[ -d /proc/$pid ]] || break
      sleep 0.05
    done
    rm -f "$state/$name.pid"
  done < <(tac "$state/names")
}

crash() {
  local pid
  if [[ $1 == login ]] || ! pid=$(pid_of "$1"); then fail "no node $1"; fi
  inside login ip link set "to-$1" down
  kill -KILL "$pid"
  rm -f "$state/$1.pid"
}

boot() {
  start_host "$1"
  connect "$1"
  inside "$1" slurmd </dev/null
}

wait_for_job() {
  local job=$1 end=$((SECONDS + ${2:-120})) shown
  local ended='BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT'
  while :; do
    shown=$(inside login scontrol -o show job "$job") || fail "no job $job"
    shown=$(sed -nE 's/.* JobState=([A-Z_]+) .* Restarts=([0-9]+) .* ExitCode=([0-9]+):.* NodeList=([^ ]*) .*/\1 \3 \2 \4/p' <<<"$shown")
    grep -qvE "^($ended) " <<<"$shown" || break
    ((SECONDS < end)) || { echo "$shown" && return 124; }
    sleep 0.5
  done
  echo "$shown"
}

on() {
  local host=$1 user=root place home
  shift
  while [[ ${1:-} == -* ]]; do
    case $1 in
      -u) user=$2 ;;
      -d) place=$2 ;;
      *) fail "on FOLDER HOST [-u USER] [-d DIR] COMMAND, not $1" ;;
    esac
    shift 2
  done
  home=$(inside "$host" getent passwd "$user" | cut -d : -f 6)
  [[ -n $home ]] || fail "no user $user"
  # shellcheck disable=SC2016
  inside "$host" setpriv --reuid "$user" --regid "$(inside "$host" id -g "$user")" --init-groups env -i \
    HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash TERM=dumb LANG=C.UTF-8 \
    PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    bash -c 'cd "$1" && shift && exec "$@"' bash "${place:-$home}" "$@"
}

case $command in
  up) up "$@" ;;
  down) down ;;
  on) [[ $# -ge 2 ]] || fail "on FOLDER HOST COMMAND"; on "$@" ;;
  crash) crash "${1:?node}" ;;
  boot) boot "${1:?node}" ;;
  wait) wait_for_job "${1:?job}" "${2:-120}" ;;
  status)
    while read -r name; do echo "$name $(address "$name") $(pid_of "$name" || echo 'not running')"; done <"$state/names"
    inside login sinfo
    inside login squeue ;;
  *) fail "up, on, crash, boot, wait, status or down, not $command" ;;
esac
