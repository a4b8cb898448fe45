/*
 * The asking side of `postern queue` (queue/hand_messages.h): one question after another over
 * the keeper's socket, blocking. All functions: 0, or -1 and err, whose text a person can act
 * upon.
 */
#ifndef MAIN_HAND_CLIENT_H
#define MAIN_HAND_CLIENT_H

#include "io/ipc.h"
#include "queue/hand_messages.h"

struct hand_client;

/* spool: the folder that the configuration names. NULL and err: posternd does not run, rights.
 */
struct hand_client *hand_client_open(struct slice spool, struct err *err);
void hand_client_close(struct hand_client **c); /* takes NULL, clears */

/* items: valid in the call. */
typedef void hand_items_fn(void *arg, const struct hand_item *items, size_t n);
/* One page of the list; goes on at page_out->next until page_out->end. */
int hand_client_list(struct hand_client *c, const struct hand_list *q, hand_items_fn *fn,
	void *arg, struct hand_page *page_out, struct err *err);
/* All pages; after each, progress(arg, mails seen so far), which may be NULL. */
int hand_client_list_all(struct hand_client *c, const struct hand_filter *f, hand_items_fn *fn,
	void (*progress)(void *arg, uint64_t seen), void *arg, struct err *err);
/* SHOW, WHY: the whole answer. */
int hand_client_mail(struct hand_client *c, enum hand_msg type, const struct custody_id *id,
	struct buf *out, struct err *err);
/* piece: valid until the next call. A scan may come before the first one. */
int hand_client_body(struct hand_client *c, const struct hand_body *b, struct slice *piece_out,
	bool *last_out, struct err *err);
/* The header, or its first part; likewise. */
int hand_client_head(struct hand_client *c, const struct custody_id *id, struct slice *head_out,
	struct err *err);
/* d_out->why: valid until the next call. */
int hand_client_act(struct hand_client *c, const struct hand_act *act, struct hand_done *d_out,
	struct err *err);
/* s_out->egress_text: likewise. */
int hand_client_state(struct hand_client *c, struct hand_state *s_out, struct err *err);
/* A question that has one answer, of another header of the keeper's; payload: until the next.
 */
int hand_client_ask(struct hand_client *c, uint16_t type, const struct ipc_out *out,
	uint16_t answer, struct slice *payload_out, struct err *err);
/*
 * The same in two steps, for who has something to do meanwhile: several may be sent before the
 * first answer is read, of kinds that the keeper answers at once, and no other kind between.
 */
int hand_client_send(
	struct hand_client *c, uint16_t type, const struct ipc_out *out, struct err *err);
int hand_client_receive(
	struct hand_client *c, uint16_t answer, struct slice *payload_out, struct err *err);

#endif
