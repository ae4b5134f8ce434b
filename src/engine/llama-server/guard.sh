# Runs a server for as long as its owner lives.
#
#   sh guard.sh DIRECTORY PROGRAM ARGUMENT...
#
# To be started as the leader of a process group of its own. The owner holds the other end of descriptor 3, and is told the server's
# process id there, and when it has ended its exit status. However the owner dies, that end closes, and the server is killed. DIRECTORY,
# where the server's socket is, is removed after the server, and what the server has started itself is killed.
directory=$1
shift
# These are its owner's business; they may be sent to everything that a terminal or a service manager has started.
trap '' HUP INT TERM
"$@" </dev/null >&2 3<&- &
server=$!
# The owner may be gone when it is to be told something.
trap '' PIPE
echo "$server" >&3
(
  read -r nothing <&3
  kill -KILL "$server"
) >/dev/null 2>&1 &
watch=$!
# A shell may say here what became of its children. The server's own last words are to be the last.
exec 2>/dev/null
wait "$server"
echo "$?" >&3
kill -KILL "$watch"
wait "$watch"
rm -rf -- "$directory"
kill -KILL 0
