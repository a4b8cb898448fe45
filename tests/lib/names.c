/* A name server of a few names on loopback; see names.h. */
#include "names.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

enum { HEADER = 12, PACKET_BYTES = 1400 };

static bool
is_asked_for(const struct name *row, const char *question, uint16_t type)
{
	return strcasecmp(question, row->name) == 0 && (row->type == type || row->rcode != 0);
}

/* The records behind the question, whose name they point to: the packet's bytes. */
static size_t
answer(const struct names *s, char *packet, size_t end, uint16_t type)
{
	static const char fixed[] = "\300\14\0\0\0\1\0\0\0\74\0\0";
	packet[2] = (char)0x85;
	packet[3] = (char)0x80;
	memset(packet + 6, 0, 6);
	for (size_t i = 0; i < s->n; i++) {
		const struct name *row = &s->rows[i];
		if (!is_asked_for(row, packet + HEADER, type))
			continue;
		packet[3] = (char)(0x80 | row->rcode);
		if (row->n == 0)
			continue;
		must(end + HEADER + row->n <= PACKET_BYTES);
		packet[7]++;
		memcpy(packet + end, fixed, HEADER);
		packet[end + 3] = (char)type;
		packet[end + 11] = (char)row->n;
		memcpy(packet + end + HEADER, row->data, row->n);
		end += HEADER + row->n;
	}
	return end;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct names *s = arg;
	(void)ready;
	char packet[PACKET_BYTES];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(s->fd, packet, 512, 0, (struct sockaddr *)&from, &len);
	if (n < HEADER + 5)
		return;
	s->asked++;
	size_t name_bytes = strlen(packet + HEADER) + 1, end = HEADER + name_bytes + 4;
	must(end <= (size_t)n);
	const unsigned char *at = (const unsigned char *)packet + HEADER + name_bytes;
	end = answer(s, packet, end, (uint16_t)(at[0] << 8 | at[1]));
	sendto(s->fd, packet, end, 0, (struct sockaddr *)&from, len);
}

void
names_start(struct names *s, struct loop *l, const struct name *rows, size_t n)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	*s = (struct names){.rows = rows, .n = n};
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&sin, len) == 0);
	must(getsockname(s->fd, (struct sockaddr *)&sin, &len) == 0);
	s->port = ntohs(sin.sin_port);
	s->watch = loop_watch_new(l, s->fd, on_ready, s);
	loop_watch_set(s->watch, LOOP_READ);
}

void
names_stop(struct names *s)
{
	loop_watch_free(&s->watch);
	close(s->fd);
}
