/*
 * DNS answers from a file of records; see answers.h for its lines. For `postern explain` on a
 * mail of yesterday, or of a zone that is not there yet.
 */
#include "main/answers_file.h"

#include <string.h>

#include "conf/file.h"

enum { FILE_MOST = 4 << 20, KEY_MOST = 300 };

static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX, DNS_PTR, DNS_TXT};

static struct slice
key_of(char key[KEY_MOST], struct slice name, enum dns_type type)
{
	size_t n = strlen(dns_type_text(type));
	if (slice_ends(name, SLICE(".")))
		name.n--;
	name = slice_first(name, KEY_MOST - 8);
	memcpy(key, dns_type_text(type), n);
	key[n] = ' ';
	if (name.n != 0)
		memcpy(key + n + 1, name.p, name.n);
	return (struct slice){key, n + 1 + name.n};
}

/* The next word of a line. */
static struct slice
word(struct slice *line)
{
	struct slice s = slice_trim(*line);
	size_t n = 0;
	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
		n++;
	*line = slice_trim(slice_from(s, n));
	return slice_first(s, n);
}

/* "a" "b" joined, or the rest of the line as it stands. */
static bool
parse_txt(struct slice rest, struct arena *a, struct slice *text_out)
{
	if (!slice_starts(rest, SLICE("\""))) {
		*text_out = rest;
		return rest.n != 0;
	}
	struct slice out = SLICE(""), piece;
	while (rest.n != 0) {
		if (!slice_starts(rest, SLICE("\"")) ||
			!slice_cut(slice_from(rest, 1), '"', &piece, &rest))
			return false;
		out = arena_printf(a, "%.*s%.*s", SLICE_ARG(out), SLICE_ARG(piece));
		rest = slice_trim(rest);
	}
	*text_out = out;
	return true;
}

static bool
parse_rr(enum dns_type type, struct slice rest, struct arena *a, struct dns_rr *rr)
{
	uint64_t preference;
	switch (type) {
	case DNS_A: return ip_parse(rest, &rr->ip) && rr->ip.family == 4;
	case DNS_AAAA: return ip_parse(rest, &rr->ip) && rr->ip.family == 6;
	case DNS_MX:
		if (!slice_u64(word(&rest), &preference) || preference > 65535)
			return false;
		rr->preference = (uint16_t)preference;
		break;
	case DNS_TXT: return parse_txt(rest, a, &rr->text);
	case DNS_PTR: break;
	case DNS_CNAME:
	case DNS_TLSA: return false;
	}
	if (slice_ends(rest, SLICE(".")))
		rest.n--;
	rr->text = rest;
	return rest.n == 0 || dns_name_ok(rest);
}

static void
add(struct dns_file *f, struct slice name, enum dns_type type, const struct dns_rr *rr,
	struct arena *a)
{
	char key[KEY_MOST];
	struct slice k = key_of(key, name, type);
	struct dns_answer *answer = map_get(f->records, k);
	if (answer == NULL) {
		answer = ARENA_NEW(a, struct dns_answer);
		answer->status = DNS_OK;
		answer->rr = arena_array(a, DNS_RR_MOST, sizeof(*answer->rr));
		map_put(f->records, k, answer);
	}
	if (answer->n < DNS_RR_MOST)
		answer->rr[answer->n++] = *rr;
}

static bool
parse_line(struct slice line, struct dns_file *f, struct arena *a)
{
	struct slice name = word(&line), what = word(&line);
	struct dns_rr rr = {0};
	if (slice_ends(name, SLICE(".")))
		name.n--;
	if (!dns_name_ok(name))
		return false;
	map_put(f->names, name, f);
	if (slice_eq_nocase(what, SLICE("FAIL")) && line.n == 0) {
		map_put(f->failing, name, f);
		return true;
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!slice_eq_nocase(what, slice_of(dns_type_text(types[i]))))
			continue;
		if (!parse_rr(types[i], line, a, &rr))
			return false;
		add(f, name, types[i], &rr, a);
		return true;
	}
	return false;
}

int
dns_file_read(const char *path, struct arena *a, struct dns_file *file_out, struct err *err)
{
	struct slice text, line;
	if (file_read(path, FILE_MOST, a, &text, err) < 0)
		return -1;
	*file_out = (struct dns_file){map_new(a, true), map_new(a, true), map_new(a, true)};
	for (unsigned n = 1; text.n != 0; n++) {
		slice_cut(text, '\n', &line, &text);
		line = slice_trim(line);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (arena_room(a) < FILE_MOST)
			return err_set(err, "%s:%u: too many records", path, n);
		if (!parse_line(line, file_out, a))
			return err_set(err,
				"%s:%u: expected NAME and A, AAAA, MX, PTR, TXT with its "
				"value, or FAIL",
				path, n);
	}
	return 0;
}

const struct dns_answer *
dns_file_look_up(const struct dns_file *f, struct slice name, enum dns_type type)
{
	static const struct dns_answer nothing = {.status = DNS_NXDOMAIN},
				       no_data = {.status = DNS_NODATA},
				       fail = {.status = DNS_FAIL};
	char key[KEY_MOST];
	if (slice_ends(name, SLICE(".")))
		name.n--;
	if (map_get(f->failing, name) != NULL)
		return &fail;
	const struct dns_answer *answer = map_get(f->records, key_of(key, name, type));
	if (answer != NULL)
		return answer;
	return map_get(f->names, name) != NULL ? &no_data : &nothing;
}
