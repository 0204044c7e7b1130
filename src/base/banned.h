/* base/banned: calls that have an owner elsewhere, or no safe use, do not compile.
 *
 * Included before every C file of src/ but platform/ and base/log.c (CMakeLists.txt). The system
 * headers that declare them come first, so only our own calls are met. platform/ is the seam that a
 * simulation or a port replaces (docs/ARCHITECTURE.md).
 */
#ifndef TUG_BASE_BANNED_H
#define TUG_BASE_BANNED_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BANNED(name, instead) sorry_##name##_is_banned_use_##instead

/* never safe */
#define strcpy(...)   BANNED(strcpy, text_format)
#define strcat(...)   BANNED(strcat, buf_add_str)
#define sprintf(...)  BANNED(sprintf, text_format)
#define vsprintf(...) BANNED(vsprintf, buf_vprintf)
#define gets(...)     BANNED(gets, nothing)
#define strtok(...)   BANNED(strtok, strtok_r)
#define atoi(...)     BANNED(atoi, text_to_i64)
#define atol(...)     BANNED(atol, text_to_i64)
#define atof(...)     BANNED(atof, text_to_double)
#define system(...)   BANNED(system, process_run)
#define popen(...)    BANNED(popen, process_run)

/* owned by platform/ */
#define fopen(...)         BANNED(fopen, platform_file)
#define open(...)          BANNED(open, file_open)
#define openat(...)        BANNED(openat, file_open)
#define creat(...)         BANNED(creat, file_open)
#define rename(...)        BANNED(rename, file_rename)
#define unlink(...)        BANNED(unlink, file_remove)
#define mkdir(...)         BANNED(mkdir, file_mkdirs)
#define rmdir(...)         BANNED(rmdir, file_remove_tree)
#define opendir(...)       BANNED(opendir, file_list)
#define fsync(...)         BANNED(fsync, file_sync)
#define fdatasync(...)     BANNED(fdatasync, file_sync)
#define flock(...)         BANNED(flock, file_lock)
#define mmap(...)          BANNED(mmap, file_map)
#define fork(...)          BANNED(fork, process_spawn)
#define vfork(...)         BANNED(vfork, process_spawn)
#define execv(...)         BANNED(execv, process_spawn)
#define execvp(...)        BANNED(execvp, process_spawn)
#define waitpid(...)       BANNED(waitpid, process_wait)
#define kill(...)          BANNED(kill, process_signal)
#define signal(...)        BANNED(signal, process_signals_open)
#define sigaction(...)     BANNED(sigaction, process_signals_open)
#define getenv(...)        BANNED(getenv, process_env)
#define socket(...)        BANNED(socket, socket_connect_unix)
#define connect(...)       BANNED(connect, socket_connect_unix)
#define accept(...)        BANNED(accept, socket_accept)
#define bind(...)          BANNED(bind, socket_listen_tcp)
#define poll(...)          BANNED(poll, socket_wait)
#define select(...)        BANNED(select, socket_wait)
#define sleep(...)         BANNED(sleep, socket_wait)
#define usleep(...)        BANNED(usleep, socket_wait)
#define nanosleep(...)     BANNED(nanosleep, socket_wait)
#define clock_gettime(...) BANNED(clock_gettime, clock_now_ns)
#define gettimeofday(...)  BANNED(gettimeofday, clock_wall_ns)
#define time(...)          BANNED(time, clock_wall_ns)
#define rand(...)          BANNED(rand, random_u64)
#define random(...)        BANNED(random, random_u64)
#define getrandom(...)     BANNED(getrandom, random_bytes)

#endif
