#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: real daemons, pretend GPUs (no cgroups, no systemd).
# Everything lies in STATE but a link to it, /etc/slurm/slurm.conf, and a line in /etc/hosts where this
# machine does not know its own name. Needs root, and of Debian slurm-wlm
# and munge, for --accounting also slurmdbd and mariadb-server. CPUs and memory are pretended, too.
#   cluster.sh start STATE [--accounting] [--gpus 2] [--cpus 4] [--memory 65536]
#   cluster.sh stop STATE
set -euo pipefail

command=${1:-} state=${2:-}
[[ $command =~ ^(start|stop)$ && $state = /* ]] || { sed -n '2,7p' "$0" >&2; exit 2; }
shift 2
accounting=no gpus=2 cpus=4 memory=65536
while [ $# -gt 0 ]; do
  case $1 in
    --accounting) accounting=yes ;;
    --gpus) gpus=$2; shift ;;
    --cpus) cpus=$2; shift ;;
    --memory) memory=$2; shift ;; # MiB
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
export SLURM_CONF=$state/slurm.conf
host=$(hostname -s)
link=/etc/slurm/slurm.conf # a job's own srun looks there: Snakemake keeps SLURM_CONF from it

wait_for() { # until the command succeeds, half a minute or so
  for _ in $(seq 150); do timeout 5 "$@" > /dev/null 2>&1 && return; sleep 0.2; done
  echo "$(basename "$0"): gave up waiting for: $*" >&2
  tail -n 20 "$state"/log/*.log >&2 || true
  exit 1
}

stop() {
  local daemon pid
  # Jobs outlive the daemons.
  if [ -s "$state/slurmctld.pid" ] && timeout 10 scancel --user="$(id -un)" 2>/dev/null; then
    for _ in $(seq 50); do [ "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break; sleep 0.2; done
  fi
  for daemon in slurmd slurmctld slurmdbd mariadbd munged; do
    [ -s "$state/$daemon.pid" ] || continue
    pid=$(cat "$state/$daemon.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$state/$daemon.pid"
  done
  [ "$(readlink "$link" 2>/dev/null)" != "$SLURM_CONF" ] || rm -f "$link"
}

start_munge() {
  install -d -m 755 "$state/munge"
  head -c 1024 /dev/urandom > "$state/munge/key"
  chown -R munge: "$state/munge"
  chmod 400 "$state/munge/key"
  # The socket's path is as long as a path may be for a socket: STATE must be short.
  setpriv --reuid=munge --regid=munge --init-groups munged --key-file="$state/munge/key" \
    --socket="$state/munge/socket" --pid-file="$state/munge/pid" --log-file="$state/munge/log" \
    --seed-file="$state/munge/seed"
  wait_for munge --no-input --socket="$state/munge/socket"
  cp "$state/munge/pid" "$state/munged.pid"
}

start_database() {
  install -d -o mysql -g mysql "$state/mysql"
  mariadb-install-db --user=mysql --datadir="$state/mysql" --skip-test-db > "$state/log/install.log" 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir="$state/mysql" --socket="$state/mysql/socket" \
    --bind-address=127.0.0.1 --port=33306 --innodb-buffer-pool-size=64M > "$state/log/mariadbd.log" 2>&1 < /dev/null &
  echo $! > "$state/mariadbd.pid"
  wait_for mariadb-admin --socket="$state/mysql/socket" ping
  mariadb --socket="$state/mysql/socket" -e "create database slurm_acct_db;
    create user 'slurm'@'127.0.0.1' identified by 'test'; create user 'slurm'@'localhost' identified by 'test';
    grant all on slurm_acct_db.* to 'slurm'@'127.0.0.1'; grant all on slurm_acct_db.* to 'slurm'@'localhost';"
  cat > "$state/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket
DbdHost=$host
DbdAddr=127.0.0.1
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=33306
StorageUser=slurm
StoragePass=test
StorageLoc=slurm_acct_db
LogFile=$state/log/slurmdbd.log
PidFile=$state/slurmdbd.pid
CONF
  chmod 600 "$state/slurmdbd.conf"
  slurmdbd
  wait_for sacctmgr --noheader list cluster
  for record in "cluster test" "account test Description=test Organization=test" "user root Account=test"; do
    # shellcheck disable=SC2086
    sacctmgr --immediate add $record > /dev/null
  done
}

write_configuration() {
  cat > "$state/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Memory is watched by sampling every two seconds: no cgroups.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
# Finished jobs stay visible to squeue, which tells their state where there is no accounting.
MinJobAge=3600
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
$([ $accounting = no ] || echo "AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass=$state/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment")
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:pretend:$gpus State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10
CONF
  # Slurm only looks whether the device files exist; these are /dev/null by another name.
  for i in $(seq 0 $((gpus - 1))); do
    [ -e "$state/nvidia$i" ] || mknod -m 666 "$state/nvidia$i" c 1 3
    echo "NodeName=$host Name=gpu Type=pretend File=$state/nvidia$i"
  done > "$state/gres.conf"
  printf '%s\n' CgroupAutomount=no ConstrainCores=no ConstrainDevices=no ConstrainRAMSpace=no > "$state/cgroup.conf"
}

if [ "$command" = stop ]; then
  stop
  exit
fi
getent hosts "$host" > /dev/null || echo "127.0.0.1 $host" >> /etc/hosts
for _ in $(seq 900); do
  there=$(readlink "$link" || true)
  [[ $there = /tmp/wsss-slurm-* ]] || break
  before=${there%/slurm.conf}
  # One of another run of the tests: wait for it while that run lives, else nobody will stop it.
  if ! kill -0 "$(cat "$before/owner" 2>/dev/null)" 2>/dev/null; then
    "$0" stop "$before"
    rm -f "$link"
  fi
  sleep 1
done
if [ -e "$link" ] || [ -L "$link" ]; then
  echo "$link is there already: this machine has a Slurm" >&2
  exit 1
fi
install -d -m 755 /etc/slurm "$state" "$state"/{ctld,d,log}
echo $PPID > "$state/owner" # of the Slurm: it is stopped when a later one finds that process gone
ln -s "$SLURM_CONF" "$link"
trap 'failed=$?; [ $failed = 0 ] || stop' EXIT
write_configuration
start_munge
[ $accounting = no ] || start_database
slurmctld -i
slurmd
wait_for bash -c '[ "$(sinfo --noheader --format=%t --partition=cpu)" = idle ]'
