/*
 * A delivery process as the parent starts it, in its sandbox, with this test as parent, client,
 * name server, smarthost and the servers of a declared domain. For the tests of delivery alone.
 */
#ifndef TEST_DELIVERING_H
#define TEST_DELIVERING_H

#include <sys/types.h>

#include "delivery/delivery.h"
#include "delivery/messages.h"
#include "io/control.h"
#include "io/peer.h"
#include "names.h"
#include "remote.h"

#define MAIL_TEXT "Subject: x\r\n\r\nhello\r\n"

struct delivering {
	struct arena *arena;
	struct loop *loop;
	struct loop_timer late;
	bool timed_out;
	struct remote remote, other; /* the smarthost; next hop of domain and routes */
	struct conf_domain domain;
	struct next_hop domain_hop;
	struct names names;
	struct next_hop hop;
	struct conf conf;
	struct delivery_start start;
	struct ipc *control;
	struct peer *session;
	pid_t pid;
	bool ready, gone;
	struct delivery_result result; /* the last one; lives as long as the world */
	struct smtp_reply says;        /* to the last question */
	unsigned answers, lost, wanted;
};
extern struct delivering w;

/* A condition that comes soon; on a busy machine later. */
#define UNTIL(cond)                                                  \
	do {                                                         \
		for (int turns = 0; turns < 500 && !(cond); turns++) \
			run_for(10);                                 \
		assert_true(cond);                                   \
	} while (0)

/* smarthost: by name where the DNS is to be asked; NULL: direct. */
void world_open(const char *smarthost);
/* "declared.example" goes by LMTP to a socket of this machine. */
void world_open_with(const char *smarthost, const char *lmtp_path);
void world_close(void);
void world_close_with(struct remote *more); /* and one that the test has started */
void run_for(uint32_t ms);
void run(void);          /* until w.wanted answers have come; ten seconds are a fault */
void give_channel(void); /* a new client; the one before closes */
bool has_command(struct slice line);

/* A result came, or the process is gone: for peer_ask. */
void on_answer(void *arg, struct ipc_msg *m);
struct address address_of(const char *text);
/* To at most three recipients. */
struct delivery_mail mail_to(const char *site, const char *a, const char *b, const char *c);
uint32_t post(const struct delivery_mail *m);
void post_and_wait(const struct delivery_mail *m);
/* One mail to one; fd: its last part is 12 bytes from 4 on. */
uint32_t ask(const char *site, const char *rcpt, uint32_t budget_ms, int fd);
void ask_and_wait(const char *site, const char *rcpt, uint32_t budget_ms, int fd);
const struct delivery_result *last(void);

#endif
