/*
 * The signer, see dkim.h: from the final bytes of a mail to the digest that the signer process
 * signs, and from its signature to the field. The same header and the same clock always give
 * the same text.
 */
#include "base/base64.h"
#include "base/must.h"
#include "filters/dkim_priv.h"
#include "filters/fold.h"

enum { TEXT_BYTES_MOST = 16 * 1024 };

struct dkim_sign {
	struct arena *arena;
	struct canon_body canon;
	struct dkim_hash body, header;
	unsigned char body_digest[DKIM_DIGEST_BYTES];
	bool ended;
};

/*
 * OUT-12. `over`: named once more than it stands there, so that one added on the way breaks the
 * signature. Not so Sender and the fields of mailing lists, which lists add that change nothing
 * else. Date and Message-ID so only where they stand: the MTA whose milter we are, or a later
 * one, adds those that lack (RFC 6409 8.2, 8.3).
 */
enum over { NEVER, WHERE_PRESENT, ALWAYS };

static const struct {
	const char *name;
	enum over over;
} signed_names[] = {
	{"From", ALWAYS},
	{"To", ALWAYS},
	{"Cc", ALWAYS},
	{"Subject", ALWAYS},
	{"Date", WHERE_PRESENT},
	{"Message-ID", WHERE_PRESENT},
	{"Reply-To", ALWAYS},
	{"In-Reply-To", ALWAYS},
	{"References", ALWAYS},
	{"MIME-Version", ALWAYS},
	{"Content-Type", ALWAYS},
	{"Content-Transfer-Encoding", ALWAYS},
	{"Sender", NEVER},
	{"List-Id", NEVER},
	{"List-Unsubscribe", NEVER},
	{"List-Unsubscribe-Post", NEVER},
	{"List-Help", NEVER},
	{"List-Subscribe", NEVER},
	{"List-Post", NEVER},
	{"List-Owner", NEVER},
	{"List-Archive", NEVER},
};

enum { NAMES = sizeof(signed_names) / sizeof(signed_names[0]) };

struct dkim_sign *
dkim_sign_begin(struct arena *a)
{
	struct dkim_sign *s = ARENA_NEW(a, struct dkim_sign);
	s->arena = a;
	dkim_hash_init(&s->body, a);
	dkim_hash_init(&s->header, a);
	canon_body_init(&s->canon, true, UINT64_MAX, dkim_hash_sink, &s->body);
	return s;
}

void
dkim_sign_body(struct dkim_sign *s, struct slice piece)
{
	must(!s->ended);
	canon_body_feed(&s->canon, piece);
}

void
dkim_sign_body_end(struct dkim_sign *s)
{
	must(!s->ended);
	s->ended = true;
	canon_body_end(&s->canon);
	dkim_hash_end(&s->body, s->body_digest);
}

static void
fold_tag(struct fold *f, struct arena *a, const char *name, struct slice value)
{
	fold_add(f, true, arena_printf(a, "%s=%.*s;", name, SLICE_ARG(value)));
}

/* Hashes what is signed and writes h=, field by field, in the same order. */
static void
sign_names(struct dkim_sign *s, struct dkim_fields *fields, struct fold *f)
{
	size_t count = 0;
	fold_add(f, true, SLICE("h="));
	for (size_t i = 0; i < NAMES; i++) {
		struct slice name = slice_of(signed_names[i].name);
		size_t times = dkim_fields_count(fields, name);
		times += signed_names[i].over == ALWAYS ||
			 (signed_names[i].over == WHERE_PRESENT && times != 0);
		for (; times > 0 && count < DKIM_NAMES_MOST; times--, count++) {
			const struct message_field *field = dkim_fields_take(fields, name);
			if (field != NULL)
				dkim_hash_field(&s->header, true, field->name, field->value);
			if (count > 0)
				fold_add(f, false, SLICE(":"));
			fold_add(f, false, name);
		}
	}
	fold_add(f, false, SLICE(";"));
}

void
dkim_sign_digest(struct dkim_sign *s, const struct message_field *fields, size_t n,
	int64_t wall_s, struct dkim_sign_request *r)
{
	struct dkim_fields index;
	struct fold f;
	struct arena *a = s->arena;
	must(s->ended && r->algorithm != DKIM_RSA_SHA1);
	dkim_fields_init(&index, fields, n, a);
	dkim_hash_start(&s->header);
	fold_init(&f, TEXT_BYTES_MOST, SLICE("DKIM-Signature:"));
	fold_tag(&f, a, "v", SLICE("1"));
	fold_tag(&f, a, "a", slice_of(dkim_algorithm_text(r->algorithm)));
	fold_tag(&f, a, "c", SLICE("relaxed/relaxed"));
	fold_tag(&f, a, "d", r->domain);
	fold_tag(&f, a, "s", r->selector);
	fold_tag(&f, a, "t", arena_printf(a, "%lld", (long long)wall_s));
	sign_names(s, &index, &f);
	struct slice bh = {(const char *)s->body_digest, DKIM_DIGEST_BYTES};
	fold_tag(&f, a, "bh", base64_encode(bh, a));
	fold_add(&f, true, SLICE("b="));
	r->text = arena_slice(a, buf_slice(&f.text));
	fold_fini(&f);
	/* b= is empty in what is signed: the text so far is the whole of it. */
	struct message_field own = {.raw = r->text};
	slice_cut(r->text, ':', &own.name, &own.value);
	dkim_hash_own(&s->header, true, &own, (struct slice){own.value.p + own.value.n, 0});
	dkim_hash_end(&s->header, r->digest);
}

struct slice
dkim_sign_field(const struct dkim_sign_request *r, struct slice signature, struct arena *a)
{
	struct fold f;
	fold_init(&f, TEXT_BYTES_MOST + DKIM_SIGNATURE_BYTES_MOST * 2, r->text);
	fold_add_cut(&f, base64_encode(signature, a));
	must(buf_add(&f.text, SLICE("\r\n")) == 0);
	struct slice out = arena_slice(a, buf_slice(&f.text));
	fold_fini(&f);
	return out;
}
