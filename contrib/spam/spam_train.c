/*
 * spam-train [--leave-out SOURCE]... [--also SOURCE]... FOLDER SPAM FILE
 *
 * Makes the model that is shipped out of FOLDER/SOURCE/{ham,spam}/ID.eml; README.md says which
 * sources and why. What SPAM lists counts as spam, wherever it lies. The same mails give the
 * same file byte for byte on every machine: mails go by their ids, sums in one order, with the
 * four operations and square roots alone (no exp of a library), and nothing is contracted
 * (-ffp-contract=off).
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"
#include "base/must.h"
#include "filters/spam_features.h"
#include "filters/spam_weigh.h"

enum {
	FILE_VERSION = 1,
	SOURCES_MOST = 16,
	MAILS_MOST = 100000,
	MAIL_BYTES = SPAM_HEADER_MOST + SPAM_BODY_MOST, /* of one mail: no more is looked at */
	EPOCHS = 2,
	WEIGHT_MOST = 127,
	SMALL = 7, /* what half a byte holds: filters/spam_shipped.c says the format */
	ESCAPE = 15,
};

/* A step, what all weights of a mail lose at each, and how much louder it is heard elsewhere.
 */
static const double eta = 2, decay = 0.001, louder = 1.25;

static const char *sources[SOURCES_MOST] = {
	"list_cbl", "list_hams", "list_openbmc", "spamassassin"};
static size_t n_sources = 4;

struct mail {
	char id[80];
	uint32_t *places;
	uint32_t n;
	uint8_t source;
	bool spam;
};

static struct mail *mails;
static size_t n_mails;
static double weights[SPAM_WEIGHTS];
static bool kept[SPAM_WEIGHTS];

/* --- mails out of folders */

static void
read_mail(const char *path, struct mail *m, struct arena *a)
{
	char *bytes = arena_alloc(a, MAIL_BYTES);
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		exit(1);
	}
	size_t n = fread(bytes, 1, MAIL_BYTES, f);
	fclose(f);
	struct spam_view view;
	struct spam_features features;
	spam_view_of_mail((struct slice){bytes, n}, SLICE_NONE, a, &view);
	spam_features_of(&view, a, &features);
	m->n = (uint32_t)features.n_text;
	m->places = mem_array(features.n_text + 1, sizeof(*m->places));
	memcpy(m->places, features.text, features.n_text * sizeof(*m->places));
}

static size_t
read_folder(const char *folder, size_t source, bool spam)
{
	char path[4096];
	snprintf(
		path, sizeof(path), "%s/%s/%s", folder, sources[source], spam ? "spam" : "ham");
	DIR *d = opendir(path);
	if (d == NULL)
		return 0;
	size_t before = n_mails;
	struct arena *a = arena_new((size_t)64 << 20);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		size_t n = strlen(e->d_name);
		if (n < 5 || n >= sizeof(mails->id) || strcmp(e->d_name + n - 4, ".eml") != 0)
			continue;
		must(n_mails < MAILS_MOST);
		struct mail *m = &mails[n_mails++];
		*m = (struct mail){.source = (uint8_t)source, .spam = spam};
		memcpy(m->id, e->d_name, n);
		snprintf(path, sizeof(path), "%s/%s/%s/%s", folder, sources[source],
			spam ? "spam" : "ham", e->d_name);
		read_mail(path, m, a);
		arena_reset(a);
	}
	arena_free(&a);
	closedir(d);
	return n_mails - before;
}

static int
by_id(const void *x, const void *y)
{
	const struct mail *a = x, *b = y;
	int order = strcmp(a->id, b->id);
	return order != 0 ? order : a->source - b->source;
}

/* The mail of that source and file name, or NULL. */
static struct mail *
find(const char *name)
{
	const char *slash = strchr(name, '/');
	for (size_t i = 0; slash != NULL && i < n_mails; i++) {
		const char *source = sources[mails[i].source];
		if (strlen(source) == (size_t)(slash - name) &&
			strncmp(name, source, strlen(source)) == 0 &&
			strcmp(slash + 1, mails[i].id) == 0)
			return &mails[i];
	}
	return NULL;
}

static void
read_spam(const char *path)
{
	FILE *f = fopen(path, "r");
	if (f == NULL) {
		perror(path);
		exit(1);
	}
	char line[200];
	size_t n = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = 0;
		struct mail *m = line[0] != '#' ? find(line) : NULL;
		if (m != NULL) {
			m->spam = true;
			n++;
		}
	}
	fclose(f);
	printf("%s: %zu mails are spam\n", path, n);
}

/* --- training */

/* What mails of one source alone have is its own habit, and misleads elsewhere. */
static void
choose_places(void)
{
	uint16_t *in = mem_array(SPAM_WEIGHTS, sizeof(*in));
	for (size_t i = 0; i < n_mails; i++)
		for (uint32_t k = 0; k < mails[i].n; k++)
			in[mails[i].places[k]] |= (uint16_t)(1u << mails[i].source);
	for (size_t p = 0; p < SPAM_WEIGHTS; p++)
		kept[p] = (in[p] & (in[p] - 1)) != 0;
	mem_free(in);
}

/* e^x by halving and a series: only what IEEE 754 rounds one way. */
static double
power_of_e(double x)
{
	double part = x / 64, sum = 1, term = 1;
	for (int i = 1; i <= 16; i++) {
		term *= part / i;
		sum += term;
	}
	for (int i = 0; i < 6; i++)
		sum *= sum;
	return sum;
}

static double
probability(double logit)
{
	double x = logit > 30 ? 30 : logit < -30 ? -30 : logit;
	return 1 / (1 + power_of_e(-x));
}

static void
train_one(const struct mail *m)
{
	double sum = 0, x = spam_unit(m->n);
	for (uint32_t i = 0; i < m->n; i++)
		sum += weights[m->places[i]];
	double step = eta * ((m->spam ? 1 : 0) - probability(sum * x)) * x;
	for (uint32_t i = 0; i < m->n; i++)
		if (kept[m->places[i]])
			weights[m->places[i]] = weights[m->places[i]] * (1 - decay) + step;
}

/* --- the file; filters/spam_shipped.c says its format */

static void
put32(FILE *f, uint32_t *crc, uint32_t value)
{
	uint8_t bytes[4];
	little_put_u32(bytes, value);
	*crc = crc32c(*crc, bytes, 4);
	must(fwrite(bytes, 1, 4, f) == 4);
}

struct halves {
	uint8_t bytes[SPAM_WEIGHTS * 3 / 2];
	size_t n;
};

static void
put_half(struct halves *h, unsigned value)
{
	h->bytes[h->n / 2] |= (uint8_t)((value & 15) << h->n % 2 * 4);
	h->n++;
}

static void
put_weight(struct halves *h, int weight)
{
	if (weight >= -SMALL && weight <= SMALL) {
		put_half(h, (unsigned)(weight + SMALL));
		return;
	}
	put_half(h, ESCAPE);
	put_half(h, (unsigned)weight);
	put_half(h, (unsigned)weight >> 4);
}

/* To the next whole number, halves away from zero. */
static int
quantised(double weight, double unit)
{
	double x = weight / unit, most = WEIGHT_MOST;
	x = x > most ? most : x < -most ? -most : x;
	return (int)(x < 0 ? x - 0.5 : x + 0.5);
}

/* A third of the mean weight: finer steps change no figure. */
static double
unit_of(void)
{
	double squares = 0;
	size_t n = 0;
	for (size_t p = 0; p < SPAM_WEIGHTS; p++)
		if (weights[p] < 0 || weights[p] > 0) {
			squares += weights[p] * weights[p];
			n++;
		}
	return n > 0 ? sqrt(squares / (double)n) / 3 : 1;
}

static void
write_model(const char *path)
{
	FILE *f = fopen(path, "wb");
	if (f == NULL) {
		perror(path);
		exit(1);
	}
	/* A whole number of 1/SPAM_ONE, so that the reader has the same unit. */
	uint32_t unit = (uint32_t)(unit_of() * louder * SPAM_ONE + 1);
	uint32_t crc = crc32c(0, "POSTSHIP", 8);
	must(fwrite("POSTSHIP", 1, 8, f) == 8);
	const uint32_t head[] = {FILE_VERSION, SPAM_FEATURES_VERSION, SPAM_BITS, unit};
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		put32(f, &crc, head[i]);
	static struct halves h;
	unsigned n = 0;
	for (size_t p = 0; p < SPAM_WEIGHTS; p++) {
		int weight = quantised(weights[p] * louder, (double)unit / SPAM_ONE);
		n += weight != 0;
		put_weight(&h, weight);
	}
	size_t bytes_of_weights = (h.n + 1) / 2;
	crc = crc32c(crc, h.bytes, bytes_of_weights);
	must(fwrite(h.bytes, 1, bytes_of_weights, f) == bytes_of_weights);
	put32(f, &(uint32_t){0}, crc);
	long bytes = ftell(f);
	if (fclose(f) != 0) {
		perror(path);
		exit(1);
	}
	printf("%s: %u weights, %ld bytes\n", path, n, bytes);
}

/* --- what is asked for */

static void
leave_out(const char *name)
{
	for (size_t i = 0; i < n_sources; i++)
		if (strcmp(sources[i], name) == 0) {
			memmove(&sources[i], &sources[i + 1],
				(n_sources - i - 1) * sizeof(sources[0]));
			n_sources--;
			return;
		}
	fprintf(stderr, "spam-train: %s is no source of the model\n", name);
	exit(2);
}

static void
read_all(const char *folder)
{
	mails = mem_array(MAILS_MOST, sizeof(*mails));
	for (size_t i = 0; i < n_sources; i++) {
		size_t ham = read_folder(folder, i, false), spam = read_folder(folder, i, true);
		printf("%s: %zu ham, %zu spam\n", sources[i], ham, spam);
		if (ham + spam == 0) {
			fprintf(stderr, "spam-train: nothing in %s/%s\n", folder, sources[i]);
			exit(1);
		}
	}
	qsort(mails, n_mails, sizeof(*mails), by_id);
}

int
main(int argc, char **argv)
{
	int at = 1;
	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2)
		if (strcmp(argv[at], "--leave-out") == 0)
			leave_out(argv[at + 1]);
		else if (strcmp(argv[at], "--also") == 0 && n_sources < SOURCES_MOST)
			sources[n_sources++] = argv[at + 1];
		else
			break;
	if (argc - at != 3) {
		fputs("usage: spam-train [--leave-out SOURCE]... [--also SOURCE]... FOLDER "
		      "FILE\n",
			stderr);
		return 2;
	}
	read_all(argv[at]);
	read_spam(argv[at + 1]);
	choose_places();
	for (int epoch = 0; epoch < EPOCHS; epoch++)
		for (size_t i = 0; i < n_mails; i++)
			train_one(&mails[i]);
	write_model(argv[at + 2]);
	for (size_t i = 0; i < n_mails; i++)
		mem_free(mails[i].places);
	mem_free(mails);
	return 0;
}
