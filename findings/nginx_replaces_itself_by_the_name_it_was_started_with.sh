#!/usr/bin/env bash
# An nginx that was started as `nginx`, found by PATH, cannot be upgraded by USR2: nothing happens, and who goes on by its
# manual (QUIT to the old process) is left without any.
#
# Seen: Debian's nginx 1.22.1. USR2 makes it start a successor by the very first word of its command line, with execve(2), which
# does not look in PATH: "execve() failed while executing new binary process "nginx" (2: No such file or directory)" in its
# error log, and the old one goes on. Started by its whole path, the same nginx has a successor in a moment. systemd's units and
# init scripts name the whole path, so that it shows where people, scripts and images say `nginx`.
# Expected: its manual (control.html, "Upgrading Executable on the Fly") says that USR2 starts the new executable file, and says
# nothing of how it was started.
#
# What follows for who replaces nginx by script: start it by its whole path, and send QUIT only when a second main process is there.
#
# Needs Debian 12 with apt-get and dpkg-deb. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'for pid in "$folder"/*.pid; do [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true; done; sleep 0.3; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q nginx=1.22.1-9+deb12u11 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
PATH=$folder/root/usr/sbin:$PATH
nginx -v 2>&1
configuration() {
  cat >"$1.conf" <<CONF
pid $folder/$1.pid;
error_log $folder/$1.log notice;
events {}
http {
  access_log off;
  client_body_temp_path $folder/tmp; proxy_temp_path $folder/tmp; fastcgi_temp_path $folder/tmp;
  uwsgi_temp_path $folder/tmp; scgi_temp_path $folder/tmp;
  server { listen unix:$folder/$1.sock; return 200; }
}
CONF
}
# upgraded NAME: whether a second main process is there within two seconds after USR2.
upgraded() {
  local old _
  old=$(cat "$1.pid")
  kill -USR2 "$old"
  for _ in $(seq 40); do
    if [ -s "$1.pid.oldbin" ] && [ "$(cat "$1.pid" 2>/dev/null)" != "$old" ]; then
      kill "$old"
      echo yes
      return
    fi
    sleep 0.05
  done
  echo no
}
configuration named
configuration path
nginx -e stderr -c "$folder/named.conf" 2>/dev/null
"$folder/root/usr/sbin/nginx" -e stderr -c "$folder/path.conf" 2>/dev/null
for _ in $(seq 40); do [ -s named.pid ] && [ -s path.pid ] && break; sleep 0.05; done
by_name=$(upgraded named)
by_path=$(upgraded path)
echo "started as nginx: upgraded $by_name; by its whole path: upgraded $by_path"
grep -o 'execve() failed.*' named.log
[ "$by_name $by_path" = "no yes" ]
