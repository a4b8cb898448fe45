/*
 * Channels that another program of this machine opens by a path: `postern queue` speaks so to
 * the keeper. Who is there is what the kernel says, never what comes over the channel.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "io/ipc_priv.h"

enum { PATH_BACKLOG = 16, PATH_WAIT_MS = 5000, PATH_STEP_MS = 20 };

static int
path_socket(const char *path, int flags, struct sockaddr_un *sun, struct err *err)
{
	size_t n = strlen(path);
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n == 0 || n >= sizeof(sun->sun_path))
		return err_set(err, "the path of a socket has at most %zu bytes: %s",
			sizeof(sun->sun_path) - 1, path);
	memcpy(sun->sun_path, path, n + 1);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	return fd >= 0 ? fd : err_sys(err, "make a socket");
}

/* Nobody listens there any more: the file of a process that was killed. False: somebody does.
 */
static bool
path_remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	bool ours = true;
	if (lstat(sun->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return true;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN)
		ours = false;
	else if (errno == ECONNREFUSED)
		unlink(sun->sun_path);
	close(fd);
	return ours;
}

/*
 * A process that was killed keeps its sockets until the last of its threads is out of the
 * kernel: while a sync is under way, that of a spool's keeper takes its time.
 */
static void
path_wait(const struct sockaddr_un *sun)
{
	const struct timespec step = {.tv_nsec = PATH_STEP_MS * 1000000L};
	for (int ms = 0; ms < PATH_WAIT_MS && !path_remove_stale(sun); ms += PATH_STEP_MS)
		nanosleep(&step, NULL);
}

int
ipc_listen(const char *path, unsigned mode, struct err *err)
{
	struct sockaddr_un sun;
	int fd = path_socket(path, SOCK_NONBLOCK, &sun, err);
	if (fd < 0)
		return -1;
	path_wait(&sun);
	/* The file never has more rights than it shall have, not for a moment. */
	mode_t before = umask(0777 & ~(mode_t)mode);
	int result = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	int code = errno;
	umask(before);
	errno = code;
	if (result == 0)
		result = listen(fd, PATH_BACKLOG);
	if (result == 0)
		return fd;
	err_sys(err, "listen on %s", path);
	close(fd);
	return -1;
}

int
ipc_connect(const char *path, struct err *err)
{
	struct sockaddr_un sun;
	int fd = path_socket(path, 0, &sun, err);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	err_sys(err, "%s", path);
	close(fd);
	return -1;
}

int
ipc_peer_uid(int fd, uint32_t *uid_out, struct err *err)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) < 0)
		return err_sys(err, "ask who is at the other end");
	*uid_out = who.uid;
	return 0;
}
