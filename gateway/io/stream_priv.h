/* Within the folder: a stream from the inside, for stream.c, stream_connect.c and stream_tls.c.
 */
#ifndef IO_STREAM_PRIV_H
#define IO_STREAM_PRIV_H

#include <openssl/types.h>

#include "base/buf.h"
#include "io/stream.h"

/* TLS may pass out_max by what encryption adds, and by a handshake. */
enum { STREAM_TLS_EXTRA = 64 * 1024 };

struct stream {
	int fd;
	struct loop *loop;
	struct loop_watch *watch;
	const struct stream_calls *calls;
	void *arg;
	struct loop_task task;   /* the end of the turn: send, go on, free */
	struct loop_task orphan; /* finishing, and the loop ends */
	struct loop_timer timer; /* of connect, handshake, finish */
	struct buf out;          /* unsent, as it goes on the wire */
	struct buf in;           /* held: what the owner did not take */
	size_t out_max, mark;
	size_t discarded;     /* while finishing */
	SSL *ssl;             /* NULL: in clear */
	struct buf raw;       /* TLS: read, not yet decrypted */
	struct slice raw_now; /* TLS: what the BIO reads from, during stream_tls_pump */
	struct ip peer_ip;
	uint16_t peer_port;
	int send_errno; /* met while sending outside the loop's calls */
	bool connecting, handshaking;
	bool tls_begun;            /* the handshake waits for its first step */
	bool paused;               /* by the owner */
	bool resumed;              /* held bytes may be given again */
	bool giving;               /* inside on_bytes */
	bool drop_rest, keep_rest; /* TLS began inside on_bytes */
	bool eof, ended;           /* seen; told */
	bool shut_wanted, shut_done;
	bool want_drained;
	bool lost, finishing, dead;
};

struct stream *stream_make(
	struct loop *l, int fd, size_t out_max, const struct stream_calls *calls, void *arg);
/* Tells the owner; nothing comes after it. */
void stream_lose(struct stream *s, enum stream_lost why, const struct err *err);
void stream_lose_errno(struct stream *s, enum stream_lost why, int code, const char *doing);
/* Gives bytes to the owner and holds what is not taken. False: stop (dead, held, lost, TLS
 * began). */
bool stream_give(struct stream *s, struct slice bytes);
bool stream_may_give(const struct stream *s);
void stream_update_watch(struct stream *s);
void stream_flush(struct stream *s);

/* stream_connect.c */
void stream_connect_ready(struct stream *s);

/* stream_tls.c */
void stream_tls_input(struct stream *s, struct slice bytes); /* ciphertext that was read */
void stream_tls_pump(struct stream *s);                      /* decrypts what is there */
void stream_tls_eof(struct stream *s);                       /* TCP ended */
int stream_tls_write(struct stream *s, struct slice bytes);
void stream_tls_shutdown(struct stream *s);

#endif
