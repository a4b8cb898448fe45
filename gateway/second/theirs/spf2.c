/*
 * libspf2, asked once for one mail. Its DNS layer answers from the request; a look-up that is
 * not in there is noted as wanted and answered "try again", and the reply then says what is
 * wanted instead of a result. Around the library stand what keeps it alive and RFC 7208's rules
 * that it does not know: names of more than 253 octets are refused before it can make them grow
 * without end, explanations never reach its compiler (127 macros break its stack), domains are
 * checked first (4.3), look-ups that find nothing are counted (4.6.4).
 */
#include "theirs/spf2.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <spf2/spf.h>

#include "base/mem.h"
#include "filters/engine_spf2.h"

struct layer {
	SPF_dns_server_t dns; /* first: the library hands it back */
	const struct engine_spf2_request *request;
	struct arena *arena;
	struct engine_spf2_answer wanted[ENGINE_SPF2_ANSWERS_MOST];
	size_t n_wanted;
	bool too_many; /* wanted */
	bool failed;   /* a look-up, for the time being */
	unsigned voids;
};

static const struct dns_answer *
known(const struct engine_spf2_request *r, struct slice name, enum dns_type type)
{
	for (size_t i = 0; i < r->n_answers; i++)
		if (r->answers[i].type == type && slice_eq_nocase(r->answers[i].name, name))
			return &r->answers[i].answer;
	return NULL;
}

static void
want(struct layer *l, struct slice name, enum dns_type type)
{
	for (size_t i = 0; i < l->n_wanted; i++)
		if (l->wanted[i].type == type && slice_eq_nocase(l->wanted[i].name, name))
			return;
	if (l->n_wanted == ENGINE_SPF2_ANSWERS_MOST) {
		l->too_many = true;
		return;
	}
	l->wanted[l->n_wanted++] =
		(struct engine_spf2_answer){.name = arena_slice(l->arena, name), .type = type};
}

/* One record into the library's own structure; false: no memory. */
static bool
put_record(SPF_dns_rr_t *to, int at, enum dns_type type, const struct dns_rr *rr)
{
	bool address = type == DNS_A || type == DNS_AAAA;
	size_t n = address ? sizeof(SPF_dns_rr_data_t) : rr->text.n + 1;
	if (SPF_dns_rr_buf_realloc(
		    to, at, n < sizeof(SPF_dns_rr_data_t) ? sizeof(SPF_dns_rr_data_t) : n) !=
		SPF_E_SUCCESS)
		return false;
	switch (type) {
	case DNS_A: memcpy(&to->rr[at]->a, rr->ip.bytes, 4); break;
	case DNS_AAAA: memcpy(&to->rr[at]->aaaa, rr->ip.bytes, 16); break;
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_MX:
	case DNS_TXT:
	case DNS_TLSA:
		if (rr->text.n > 0) /* the root, an empty TXT */
			memcpy(to->rr[at]->txt, rr->text.p, rr->text.n);
		to->rr[at]->txt[rr->text.n] = '\0';
		break;
	}
	return true;
}

static int
status_of(const struct dns_answer *answer)
{
	switch (answer->status) {
	case DNS_OK: return NETDB_SUCCESS;
	case DNS_NODATA: return NO_DATA;
	case DNS_NXDOMAIN: return HOST_NOT_FOUND;
	case DNS_FAIL:
	case DNS_BOGUS: return TRY_AGAIN;
	}
	return TRY_AGAIN;
}

/* RFC 7208 4.6.4; records of policies and PTR names are not among them. */
static bool
is_void(int status, enum dns_type type)
{
	return (status == NO_DATA || status == HOST_NOT_FOUND) && type != DNS_TXT &&
	       type != DNS_PTR;
}

static SPF_dns_rr_t *
look_up(SPF_dns_server_t *dns, const char *domain, ns_type rr_type, int should_cache)
{
	struct layer *l = (struct layer *)(void *)dns;
	struct slice name = slice_of(domain);
	enum dns_type type = (enum dns_type)rr_type;
	(void)should_cache;
	if (!dns_name_ok(name))
		return SPF_dns_rr_new_init(dns, domain, rr_type, 0, HOST_NOT_FOUND);
	const struct dns_answer *answer = known(l->request, name, type);
	if (answer == NULL) {
		want(l, name, type);
		return SPF_dns_rr_new_init(dns, domain, rr_type, 0, TRY_AGAIN);
	}
	int status = status_of(answer);
	l->failed |= status == TRY_AGAIN;
	l->voids += is_void(status, type);
	SPF_dns_rr_t *to = SPF_dns_rr_new_init(dns, domain, rr_type, 0, status);
	size_t most = type == DNS_PTR ? SPF_NAMES_MOST : DNS_RR_MOST;
	for (size_t i = 0; to != NULL && i < answer->n && i < most; i++) {
		if (!put_record(to, (int)i, type, &answer->rr[i])) {
			SPF_dns_rr_free(to);
			return NULL;
		}
		to->num_rr = (int)i + 1;
	}
	return to;
}

/* Whatever the sender would like to say stays unsaid: the library's expansion is what breaks.
 */
static SPF_errcode_t
no_explanation(SPF_server_t *server, const char *domain, char **text, size_t *room)
{
	(void)server, (void)domain;
	if (*text == NULL || *room == 0) {
		*text = mem_new(1); /* the library's free() takes it */
		*room = 1;
	}
	**text = '\0';
	return SPF_E_SUCCESS;
}

/* INVALID is no result of SPF: what stopped the library was the DNS, or the record. */
static enum spf_result
result_of(const struct layer *l, SPF_response_t *response)
{
	switch (SPF_response_result(response)) {
	case SPF_RESULT_NEUTRAL: return SPFR_NEUTRAL;
	case SPF_RESULT_PASS: return SPFR_PASS;
	case SPF_RESULT_FAIL: return SPFR_FAIL;
	case SPF_RESULT_SOFTFAIL: return SPFR_SOFTFAIL;
	case SPF_RESULT_NONE: return SPFR_NONE;
	case SPF_RESULT_TEMPERROR: return SPFR_TEMPERROR;
	case SPF_RESULT_PERMERROR: return SPFR_PERMERROR;
	case SPF_RESULT_INVALID: break;
	}
	return l->failed ? SPFR_TEMPERROR : SPFR_PERMERROR;
}

static void
set_client(SPF_request_t *request, const struct ip *ip)
{
	struct in_addr v4;
	struct in6_addr v6;
	memcpy(&v4, ip->bytes, sizeof(v4));
	memcpy(&v6, ip->bytes, sizeof(v6));
	if (ip->family == 4)
		SPF_request_set_ipv4(request, v4);
	else
		SPF_request_set_ipv6(request, v6);
}

/* RFC 7208 4.3: a domain that is none, or of one label, has no policy. */
static bool
domain_ok(struct slice sender)
{
	size_t at = slice_find_last(sender, '@');
	struct slice domain = at < sender.n ? slice_from(sender, at + 1) : sender;
	return dns_name_ok(domain) && slice_has(domain, '.') && domain.p[0] != '[';
}

static bool
query(SPF_server_t *server, struct layer *l, enum spf_result *result_out)
{
	const struct engine_spf2_request *r = l->request;
	struct slice from = r->sender.n != 0 ? r->sender : r->helo;
	SPF_request_t *request = SPF_request_new(server);
	SPF_response_t *response = NULL;
	if (request == NULL)
		return false;
	set_client(request, &r->client);
	SPF_request_set_helo_dom(request, arena_text(l->arena, r->helo));
	SPF_request_set_env_from(request, arena_text(l->arena, from));
	SPF_request_query_mailfrom(request, &response);
	if (response != NULL) {
		*result_out =
			l->voids > SPF_VOIDS_MOST ? SPFR_PERMERROR : result_of(l, response);
		SPF_response_free(response);
	}
	SPF_request_free(request);
	return response != NULL;
}

static bool
run(struct layer *l, struct engine_spf2_reply *reply)
{
	const struct engine_spf2_request *r = l->request;
	reply->done = true;
	if (!domain_ok(r->sender.n != 0 ? r->sender : r->helo)) {
		reply->result = SPFR_NONE;
		return true;
	}
	SPF_server_t *server = SPF_server_new_dns(&l->dns, 0);
	if (server == NULL)
		return false;
	SPF_server_set_rec_dom(server, arena_text(l->arena, r->hostname));
	bool ok = query(server, l, &reply->result);
	SPF_server_free(server);
	if (!ok || l->too_many)
		return false;
	reply->done = l->n_wanted == 0;
	reply->wanted = l->wanted;
	reply->n_wanted = l->n_wanted;
	return true;
}

struct slice
spf2_run(struct slice request, struct arena *a)
{
	struct engine_spf2_request r;
	struct engine_spf2_reply reply = {0};
	if (!engine_spf2_unpack_request(request, a, &r))
		return SLICE_NONE;
	struct layer *l = ARENA_NEW(a, struct layer);
	*l = (struct layer){
		.dns = {.lookup = look_up, .get_exp = no_explanation, .name = "postern"},
		.request = &r,
		.arena = a};
	return run(l, &reply) ? engine_spf2_pack_reply(&reply, a) : SLICE_NONE;
}
