/* Shared by the files of the session process; nobody else includes it. */
#ifndef SESSION_PROCESS_PRIV_H
#define SESSION_PROCESS_PRIV_H

#include <sys/queue.h>

#include "io/control.h"
#include "io/dns.h"
#include "io/listen.h"
#include "io/peer.h"
#include "io/stream.h"
#include "relay/relay.h"
#include "session/gate.h"
#include "session/milter_gate.h"
#include "session/process.h"

struct process;
struct neighbours;
struct state_asker;

struct front { /* a listener of the configuration */
	struct process *process;
	struct gate_config gate;
	struct listener *listener;
	struct tls_server *tls;   /* NULL: none */
	struct smtp_offer behind; /* a filter: what its next hop takes */
	/* a milter's, instead of gate */
	struct milter_gate_config milter;
	struct milter_wants wants;
	struct ipc *through; /* to the process of libmilter; NULL: there is none now */
};

/* On whose behalf the world is asked, whatever protocol brought the mail. */
struct asker {
	struct process *process;
	const struct gate_config *config;
	struct spill *spill;    /* the mail's bytes; NULL between mails */
	struct loop_task *wake; /* queued with each answer */
};

/* NULL: nobody could sign. */
typedef void signing_fn(void *arg, const struct slice *signatures);

/* The digests of one mail at a time on their way to the signer. */
struct signing {
	struct process *process;
	struct loop_timer timer; /* until the signer is asked again */
	uint32_t id;
	bool again;
	const struct sign_request *requests;
	size_t n;
	signing_fn *done;
	void *arg;
};

enum connection_phase {
	CONNECTION_PROXY, /* the PROXY header is due */
	CONNECTION_TLS,   /* implicit TLS: the handshake is under way, no gate yet */
	CONNECTION_GATE,
	CONNECTION_ENDING, /* the client is gone or sent away; a final dot may still be out */
};

struct connection {
	TAILQ_ENTRY(connection) link;
	struct process *process;
	struct front *front;
	enum connection_phase phase;
	struct stream *stream;
	struct gate *gate;
	struct gate_client client;
	char id[17];
	struct loop_timer timer; /* what the client owes us */
	uint64_t due_ms;         /* by when; 0: nothing is due from it */
	uint64_t unread_ms;      /* since when it has not read what we said; 0: it has */
	struct loop_task task;   /* answers came: go on; or end */
	struct relay_transfer *transfer;
	uint64_t number;      /* of this connection in its process */
	struct peer *carrier; /* a mail is with it, under carrier_id; `cancel` calls it off */
	uint32_t carrier_id, auth_id;
	uint16_t cancel;
	struct peer *rcpt_peer; /* is asked about a recipient, under rcpt_id */
	uint32_t rcpt_id;
	uint64_t asked_ms; /* since when the client waits for remotes */
	struct signing signing;
	struct buf proxy; /* a PROXY header that has not come whole */
	bool proxied;
	bool counted; /* in the account */
	uint64_t bytes_counted;
};

TAILQ_HEAD(connection_list, connection);

struct mta;
TAILQ_HEAD(mta_list, mta);

struct process {
	const struct session_start *start;
	const struct conf *conf;
	struct loop *loop;
	struct control *control;
	struct dns *dns;
	struct relay_pool *pool;
	struct tls_client *tls;
	struct state_asker *state;
	struct neighbours *neighbours;
	struct peer *peers[PROCESS_KINDS][SESSION_SERVERS_MOST]; /* NULL: there is none */
	struct front fronts[SESSION_LISTENERS_MOST];
	size_t n_fronts;
	struct connection_list connections;
	struct mta_list mtas;
	size_t n_connections; /* of both */
	uint64_t last_number;
	bool stopping;
	struct loop_timer stop_timer;
	struct smtp_offer behind; /* the intersection over the declared domains' servers */
	struct loop_timer behind_timer;
};

/* connection.c */
void connection_accept(struct front *f, int fd, const struct stream_addr *peer);
void connection_wake(struct connection *c); /* later in this turn: answers in, output out */
void connection_stop(struct connection *c); /* the gateway ends: 421 when it may */
void connection_kill(struct connection *c); /* at once */

/* mta.c, mta_stream.c: an MTA's sessions by the milter protocol. */
void mta_accept(struct front *f, int fd);
void mta_stop(struct mta *m); /* the gateway ends: when no mail is under way */
void mta_kill(struct mta *m); /* at once */

/* mta_through.c: sessions that the process of libmilter hands over. fd: a channel to it. */
void through_attach(struct process *p, unsigned index, int fd);
void through_close(struct process *p); /* no more of them */

/* ask.c: a filter's question, asked of the world. */
void ask_world(const struct asker *who, struct question *q, struct questions *scope);

/* ask_state.c: operations on the state, for the keeper. NULL keeper: there is none. A fact has
 * failed after patience_ms without an answer. */
struct state_asker *state_asker_new(struct loop *l, struct peer *keeper, uint32_t patience_ms);
/* When no scope with such a question is left; tells the keeper what is still to be told. */
void state_asker_free(struct state_asker **s);
void ask_state(struct state_asker *s, struct loop_task *wake, struct question *q,
	struct questions *scope);

/* carry.c: a mail on its way to its next hop. */
void carry_begin(struct connection *c);
/* The client is gone: true where nothing holds the mail any more. */
bool carry_cancel(struct connection *c);

/* carry_keeper.c: a mail in parcels to the keeper; a recipient's server, asked at RCPT. */
void carry_to_keeper(struct connection *c);
void rcpt_ask(struct connection *c);
void rcpt_cancel(struct connection *c);

/* signing.c: digests to the signer. */
void signing_init(struct signing *s, struct process *p, signing_fn *done, void *arg);
/* requests live until done. done may come from inside. */
void signing_begin(struct signing *s, const struct sign_request *requests, size_t n);
void signing_cancel(struct signing *s);

/* auth.c: one step of AUTH, by the process that reads the users' file. */
void authenticate(struct connection *c);
void authenticate_cancel(struct connection *c);

/* process.c */
void make_session_id(char id_out[17]);
void process_connection_gone(struct process *p);

#endif
