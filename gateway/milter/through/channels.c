/*
 * Which session process gets the next session of an MTA; see channels.h. A channel whose
 * process is gone is found out when it is next used, and closed.
 */
#include "through/channels.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "milter/messages.h"

struct channels {
	pthread_mutex_t lock;
	int fds[CHANNELS_MOST]; /* -1: none */
	unsigned next;
};

struct channels *
channels_new(void)
{
	struct channels *c = MEM_NEW(struct channels);
	must(pthread_mutex_init(&c->lock, NULL) == 0);
	for (unsigned i = 0; i < CHANNELS_MOST; i++)
		c->fds[i] = -1;
	return c;
}

void
channels_set(struct channels *c, unsigned index, int fd)
{
	must(index < CHANNELS_MOST);
	must(pthread_mutex_lock(&c->lock) == 0);
	int before = c->fds[index];
	c->fds[index] = fd;
	must(pthread_mutex_unlock(&c->lock) == 0);
	if (before >= 0)
		close(before);
}

/* Full for the moment: it is not gone. */
static bool
is_busy(const struct err *err)
{
	return err->code == EAGAIN || err->code == ENOBUFS || err->code == ETOOMANYREFS;
}

bool
channels_hand(struct channels *c, int fd)
{
	bool handed = false;
	must(pthread_mutex_lock(&c->lock) == 0);
	for (unsigned tries = 0; tries < CHANNELS_MOST && !handed; tries++) {
		struct err err;
		int *channel = &c->fds[c->next];
		c->next = (c->next + 1) % CHANNELS_MOST;
		if (*channel < 0)
			continue;
		handed = ipc_write_fd(*channel, MILTER_MSG_SESSION, fd, &err) == 0;
		if (!handed && !is_busy(&err)) {
			close(*channel);
			*channel = -1;
		}
	}
	must(pthread_mutex_unlock(&c->lock) == 0);
	return handed;
}

void
channels_close(struct channels *c)
{
	for (unsigned i = 0; i < CHANNELS_MOST; i++)
		channels_set(c, i, -1);
}
