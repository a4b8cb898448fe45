/*
 * A connected socket, TCP or unix, in clear or TLS, with back-pressure both ways. An idle
 * stream holds no buffers: bytes are read into one buffer of the process and what the owner
 * does not take is kept until it asks again; what is written is sent once a turn.
 *
 * Callbacks come from the loop only, never from inside a call of this module; inside them every
 * call is allowed, stream_free and stream_finish too. After on_lost nothing more comes. The
 * owner frees the stream in every case.
 *
 * TLS never goes back to clear: its end is the end of the stream, and clear bytes behind it are
 * never seen (EXT-03). Bytes that came in clear behind STARTTLS are dropped (CVE-2011-0411).
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"
#include "io/loop.h"
#include "io/tls.h"

enum { STREAM_READ_BYTES = 64 * 1024 }; /* the most that one on_bytes is given anew */
enum { STREAM_PATH_BYTES = 108 };

struct stream;

/* family 0 of ip: a unix socket at path (empty: nameless, a peer). */
struct stream_addr {
	struct ip ip;
	uint16_t port;
	char path[STREAM_PATH_BYTES];
};

enum stream_lost {
	STREAM_LOST_CONNECT, /* never connected: refused, no route */
	STREAM_LOST_TIME,    /* the deadline of connect or of the TLS handshake passed */
	STREAM_LOST_TLS,     /* the handshake failed, or a record was wrong */
	STREAM_LOST_PEER,    /* reset, or TCP closed within TLS without close_notify */
};

/* The struct outlives the stream: usually static. Only what never comes may be NULL. */
struct stream_calls {
	void (*on_connected)(void *arg); /* stream_connect only */
	void (*on_secure)(void *arg);    /* the TLS handshake is done: stream_tls_info */
	/* Returns the bytes taken. Where some are left, they come again, in front of new ones,
	 * after stream_resume; nothing is read from the socket until then. */
	size_t (*on_bytes)(void *arg, struct slice in);
	void (*on_end)(void *arg);     /* the peer sends no more (FIN, close_notify); once */
	void (*on_drained)(void *arg); /* unsent fell to the mark or below, after a write was
					  refused or left more than the mark; may be NULL */
	void (*on_lost)(void *arg, enum stream_lost why, const struct err *err);
};

/* Takes over a connected descriptor (non-blocking is set here). out_max: see stream_write. */
struct stream *
stream_new(struct loop *l, int fd, size_t out_max, const struct stream_calls *calls, void *arg);
/* Begins to connect; NULL and err only where it failed at once. from: local address or NULL. */
struct stream *stream_connect(struct loop *l, const struct stream_addr *to,
	const struct ip *from, uint32_t deadline_ms, size_t out_max,
	const struct stream_calls *calls, void *arg, struct err *err);
/* Two ends that are connected to each other, close-on-exec and non-blocking: for a library that
 * wants a socket, with a stream at the other end. */
int stream_pair(int fds_out[2], struct err *err);
/* At once: unsent bytes are lost, no callback comes any more. Takes NULL, clears. */
void stream_free(struct stream **s);
/* Sends what is unsent, closes, passes over what the peer still sends (so that no RST eats our
 * last reply), at most linger_ms; then frees by itself. No callback comes any more. Clears. */
void stream_finish(struct stream **s, uint32_t linger_ms);
/* How many still do, in this process: an orderly end waits for them. */
size_t stream_finishing(void);

/*
 * Appends; sent at the end of the turn, in as few segments as can be. 0, or -1 and nothing
 * taken where unsent bytes would pass out_max: wait for on_drained.
 */
int stream_write(struct stream *s, struct slice bytes);
size_t stream_unsent(const struct stream *s);
size_t stream_room(const struct stream *s); /* what stream_write still takes */
void stream_set_mark(
	struct stream *s, size_t unsent_bytes); /* for on_drained; at birth out_max / 4 */
void stream_shutdown(struct stream *s);         /* no more writes; FIN after what is unsent */

void stream_pause(struct stream *s);  /* no on_bytes, on_end until stream_resume */
void stream_resume(struct stream *s); /* held bytes come again, later in this turn */
/* Asks the kernel now, also while paused: has the peer closed or reset its side? */
bool stream_peer_gone(const struct stream *s);

/*
 * TLS from here on, the handshake within deadline_ms. What is unsent goes out in clear before
 * it. Called after STARTTLS was taken, inside on_bytes or outside: held bytes and the rest of
 * the running on_bytes are dropped. stream_start_tls_behind is for implicit TLS behind a PROXY
 * header: the rest that on_bytes does not take belongs to the handshake. The outcome is
 * on_secure, or on_lost with STREAM_LOST_TLS or _TIME. ctx may be freed meanwhile.
 */
void stream_start_tls_server(struct stream *s, struct tls_server *ctx, uint32_t deadline_ms);
void stream_start_tls_behind(struct stream *s, struct tls_server *ctx, uint32_t deadline_ms);
/* Fails (-1, err) only on a name that cannot be one. */
int stream_start_tls_client(struct stream *s, const struct tls_client *ctx,
	const struct tls_peer *peer, uint32_t deadline_ms, struct err *err);
bool stream_is_tls(const struct stream *s);
bool stream_tls_info(
	const struct stream *s, struct tls_info *info_out); /* false: no handshake done */

void stream_peer(const struct stream *s, struct stream_addr *addr_out);
void stream_local(const struct stream *s, struct stream_addr *addr_out);
int stream_fd(const struct stream *s); /* to be looked at only */

/* "192.0.2.1:25", "[2001:db8::1]:25" or the path, for logs. */
enum { STREAM_ADDR_TEXT_BYTES = 128 };
const char *stream_addr_text(const struct stream_addr *a, char buf[STREAM_ADDR_TEXT_BYTES]);

#endif
