#include "kernels/sampler.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "base/check.h"
#include "kernels/candidates.h"

namespace quatrain {
namespace {

// What a rank tells the others about one row. Every rank can compute every
// rank's, so messages carry no lengths. Only the log-sum-exp of the raw logits
// is over all ids: for the rest the vocabulary ends before its padding rows.
struct RowNeeds {
  bool raw_lse = false;  // per tile, for log-probabilities
  bool lse = false;      // per tile of logit / temperature, for top_p
  int candidates = 0;    // for the draw, at most all of the rank's
  int top = 0;           // for top_logprobs, at most all of the rank's
  bool target = false;   // the logit of the target
};

bool IsFiltered(const SamplingSetup& setup) {
  return setup.temperature > 0 && (setup.top_k > 0 || setup.top_p < 1.0f);
}

bool WantsLogprobs(const LogitsRow& row) {
  return row.logprobs || row.top_logprobs > 0;
}

RowNeeds NeedsOf(const LogitsRow& row) {
  RowNeeds needs{.raw_lse = WantsLogprobs(row),
                 .top = row.top_logprobs,
                 .target = !row.draw};
  if (!row.draw) return needs;
  const SamplingSetup& setup = row.sampling;
  needs.candidates = 1;
  if (!IsFiltered(setup)) return needs;
  needs.lse = setup.top_k == 0;
  needs.candidates = kMaxCandidates;
  if (setup.top_k > 0) needs.candidates = std::min(setup.top_k, kMaxCandidates);
  return needs;
}

int NumTiles(int ids) { return (ids + kVocabTile - 1) / kVocabTile; }

// In words of 32 bits, of a rank that owns `ids`, the first `drawable` of which
// are no padding rows.
size_t MessageWords(const RowNeeds& needs, int ids, int drawable) {
  return 1 + (needs.raw_lse ? NumTiles(ids) : 0) +
         (needs.lse ? NumTiles(drawable) : 0) +
         2 * std::min(needs.candidates, drawable) +
         2 * std::min(needs.top, drawable) + (needs.target ? 1 : 0);
}

using Words = std::vector<uint32_t>;

// Appends to and reads from a message.
struct Writer {
  uint32_t* at;
  void Int(int32_t value) { *at++ = static_cast<uint32_t>(value); }
  void Float(float value) { *at++ = std::bit_cast<uint32_t>(value); }
};
struct Reader {
  const uint32_t* at;
  int32_t Int() { return static_cast<int32_t>(*at++); }
  float Float() { return std::bit_cast<float>(*at++); }
};

// All that is known of one row after the ranks' messages.
struct RowFacts {
  bool finite = true;
  std::vector<float> raw_lse, lse;
  std::vector<Candidate> candidates, top;
  float target_logit = 0.0f;
};

// One call of SampleRows on one rank.
class Sampling {
 public:
  Sampling(MatrixView logits, std::span<const LogitsRow> rows,
           const VocabSpec& vocab, const RowKernels& kernels,
           TensorGroup& group, std::span<SampledRow> out)
      : logits_(logits),
        rows_(rows),
        vocab_(vocab),
        kernels_(kernels),
        group_(group),
        out_(out),
        chosen_logits_(rows.size()) {
    for (const LogitsRow& row : rows) needs_.push_back(NeedsOf(row));
  }

  void Run() {
    if (!Exchange()) return;
    for (size_t i = 0; i < rows_.size(); ++i)
      if (!Decide(static_cast<int>(i))) return;
    AddLogprobs();
  }

 private:
  int Begin(int rank) const {
    return rank > 0 ? vocab_.rank_ends[rank - 1] : 0;
  }
  int NumIds(int rank) const { return vocab_.rank_ends[rank] - Begin(rank); }
  // Those of them that may be drawn, which come first.
  int NumDrawable(int rank) const {
    return std::clamp(vocab_.draw_end() - Begin(rank), 0, NumIds(rank));
  }
  std::span<const float> MyLogits(int row) const {
    return {logits_.row<float>(row),
            static_cast<size_t>(NumIds(group_.rank()))};
  }
  std::span<const float> MyDrawable(int row) const {
    return MyLogits(row).first(NumDrawable(group_.rank()));
  }

  bool Exchange();
  void Describe(int row, uint32_t* message) const;
  void DescribeTiles(std::span<const float> logits, float temperature,
                     Writer& writer) const;
  void DescribeBest(std::span<const float> logits, float temperature, int count,
                    Writer& writer) const;
  void DescribeDraw(int row, Writer& writer) const;
  void Read(int row, int rank, Reader& reader);
  bool Decide(int row);
  std::optional<Candidate> DrawFromCandidates(int row);
  std::optional<Candidate> DrawFromWholeRow(int row);
  void AddLogprobs();

  const MatrixView logits_;
  const std::span<const LogitsRow> rows_;
  const VocabSpec& vocab_;
  const RowKernels& kernels_;
  TensorGroup& group_;
  const std::span<SampledRow> out_;
  std::vector<RowNeeds> needs_;
  std::vector<RowFacts> facts_;
  std::vector<float> chosen_logits_;  // of the drawn id or the target
};

// Every rank tells every other what it has. False after a fault.
bool Sampling::Exchange() {
  std::vector<size_t> sizes(group_.size());
  std::vector<size_t> my_offsets;
  for (const RowNeeds& needs : needs_) {
    my_offsets.push_back(sizes[group_.rank()]);
    for (int r = 0; r < group_.size(); ++r)
      sizes[r] += MessageWords(needs, NumIds(r), NumDrawable(r));
  }
  size_t total = 0;
  for (const size_t size : sizes) total += size;
  Words mine(sizes[group_.rank()]), all(total);
  kernels_.ForEachRow(static_cast<int>(rows_.size()), [&](int row) {
    Describe(row, mine.data() + my_offsets[row]);
  });
  for (size_t& size : sizes) size *= sizeof(uint32_t);
  group_.AllGather(std::as_bytes(std::span(mine)), sizes,
                   std::as_writable_bytes(std::span(all)));
  if (!group_.status().ok()) return false;

  facts_.resize(rows_.size());
  Reader reader{all.data()};
  for (int r = 0; r < group_.size(); ++r)
    for (size_t i = 0; i < rows_.size(); ++i)
      Read(static_cast<int>(i), r, reader);
  return true;
}

// Writes my MessageWords about one row.
void Sampling::Describe(int row, uint32_t* message) const {
  const std::span<const float> logits = MyLogits(row);
  const RowNeeds& needs = needs_[row];
  const bool finite = logits.empty() || kernels_.AllFinite(logits);
  Writer writer{message};
  writer.Int(finite ? 1 : 0);
  if (logits.empty()) return;
  if (!finite) return;  // the rest stays 0 and is not read

  const std::span<const float> drawable = MyDrawable(row);
  if (needs.raw_lse) DescribeTiles(logits, 1.0f, writer);
  if (!drawable.empty()) {
    const float temperature = rows_[row].sampling.temperature;
    if (needs.lse) DescribeTiles(drawable, temperature, writer);
    if (needs.candidates > 0) DescribeDraw(row, writer);
    if (needs.top > 0) DescribeBest(drawable, 1.0f, needs.top, writer);
  }
  if (needs.target) {
    const int index = rows_[row].target - Begin(group_.rank());
    const bool is_mine = index >= 0 && index < static_cast<int>(logits.size());
    writer.Float(is_mine ? logits[index] : 0.0f);
  }
}

void Sampling::DescribeTiles(std::span<const float> logits, float temperature,
                             Writer& writer) const {
  std::vector<float> lse(NumTiles(static_cast<int>(logits.size())));
  kernels_.TileLogSumExp(logits, temperature, lse);
  for (const float value : lse) writer.Float(value);
}

void Sampling::DescribeBest(std::span<const float> logits, float temperature,
                            int count, Writer& writer) const {
  std::vector<int32_t> best(std::min<size_t>(count, logits.size()));
  kernels_.Best(logits, temperature, best);
  for (const int32_t index : best) {
    writer.Int(Begin(group_.rank()) + index);
    writer.Float(logits[index]);
  }
}

void Sampling::DescribeDraw(int row, Writer& writer) const {
  const std::span<const float> logits = MyDrawable(row);
  const SamplingSetup& setup = rows_[row].sampling;
  if (IsFiltered(setup)) {
    DescribeBest(logits, setup.temperature, needs_[row].candidates, writer);
    return;
  }
  const int begin = Begin(group_.rank());
  const int index =
      setup.temperature > 0
          ? kernels_.LargestPerturbed(logits, begin, setup, rows_[row].position)
          : kernels_.Largest(logits);
  writer.Int(begin + index);
  writer.Float(logits[index]);
}

// Adds what `rank` says about one row to its facts.
void Sampling::Read(int row, int rank, Reader& reader) {
  const RowNeeds& needs = needs_[row];
  RowFacts& facts = facts_[row];
  const int drawable = NumDrawable(rank);
  if (reader.Int() == 0) facts.finite = false;
  for (int i = 0; needs.raw_lse && i < NumTiles(NumIds(rank)); ++i)
    facts.raw_lse.push_back(reader.Float());
  for (int i = 0; needs.lse && i < NumTiles(drawable); ++i)
    facts.lse.push_back(reader.Float());
  const auto read_candidate = [&] {
    const int32_t id = reader.Int();
    return Candidate{id, reader.Float()};
  };
  for (int i = 0; i < std::min(needs.candidates, drawable); ++i)
    facts.candidates.push_back(read_candidate());
  for (int i = 0; i < std::min(needs.top, drawable); ++i)
    facts.top.push_back(read_candidate());
  if (!needs.target) return;
  const float target_logit = reader.Float();
  const int target = rows_[row].target;
  if (target >= Begin(rank) && target < vocab_.rank_ends[rank])
    facts.target_logit = target_logit;
}

// Fills in the token of one row. False after a fault.
bool Sampling::Decide(int row) {
  SampledRow& result = out_[row];
  result = SampledRow{};
  if (!facts_[row].finite) {
    result.not_finite = true;
    return true;
  }
  if (!rows_[row].draw) {
    result.token_id = rows_[row].target;
    chosen_logits_[row] = facts_[row].target_logit;
    return true;
  }
  std::optional<Candidate> chosen = DrawFromCandidates(row);
  if (!chosen) chosen = DrawFromWholeRow(row);
  if (!chosen) return false;
  result.token_id = chosen->id;
  chosen_logits_[row] = chosen->logit;
  return true;
}

// Nothing if what the filters keep may reach past the candidates.
std::optional<Candidate> Sampling::DrawFromCandidates(int row) {
  const LogitsRow& wanted = rows_[row];
  std::vector<Candidate>& candidates = facts_[row].candidates;
  if (!IsFiltered(wanted.sampling))
    return Draw(wanted.sampling, wanted.position, candidates);
  SortCandidates(wanted.sampling.temperature, candidates);
  const size_t num_ids = vocab_.draw_end();
  // An id that a rank did not send comes after all that it did send.
  size_t exact = candidates.size();
  if (exact < num_ids) exact = std::min<size_t>(exact, needs_[row].candidates);
  const std::optional<size_t> kept =
      CountKept(wanted.sampling, candidates, exact, num_ids, facts_[row].lse);
  if (!kept) return std::nullopt;
  return Draw(wanted.sampling, wanted.position,
              std::span(candidates).first(*kept));
}

// Gathers the row's logits from all ranks. Nothing after a fault.
std::optional<Candidate> Sampling::DrawFromWholeRow(int row) {
  std::vector<size_t> sizes(group_.size());
  for (int r = 0; r < group_.size(); ++r)
    sizes[r] = NumDrawable(r) * sizeof(float);
  std::vector<float> all(vocab_.draw_end());
  group_.AllGather(std::as_bytes(MyDrawable(row)), sizes,
                   std::as_writable_bytes(std::span(all)));
  if (!group_.status().ok()) return std::nullopt;

  const LogitsRow& wanted = rows_[row];
  std::vector<Candidate> candidates;
  candidates.reserve(all.size());
  for (int id = 0; id < vocab_.draw_end(); ++id)
    candidates.push_back({id, all[id]});
  SortCandidates(wanted.sampling.temperature, candidates);
  const std::optional<size_t> kept =
      CountKept(wanted.sampling, candidates, candidates.size(),
                candidates.size(), facts_[row].lse);
  return Draw(wanted.sampling, wanted.position,
              std::span(candidates).first(kept.value()));
}

// Log-probabilities and ranks of what was chosen, and the best.
void Sampling::AddLogprobs() {
  const auto wants = [&](size_t i) {
    return WantsLogprobs(rows_[i]) && !out_[i].not_finite;
  };
  std::vector<int32_t> ranks(rows_.size());
  bool any = false;
  for (size_t i = 0; i < rows_.size(); ++i) any |= wants(i);
  if (!any) return;
  const int begin = Begin(group_.rank());
  kernels_.ForEachRow(static_cast<int>(rows_.size()), [&](int row) {
    const std::span<const float> logits = MyDrawable(row);
    if (wants(row) && !logits.empty())
      ranks[row] = kernels_.CountBefore(logits, chosen_logits_[row],
                                        out_[row].token_id - begin);
  });
  group_.AllReduceSum(ranks);
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (!wants(i)) continue;
    const float log_sum_exp = MergeLogSumExp(facts_[i].raw_lse);
    out_[i].logprob =
        TokenLogprob{out_[i].token_id, chosen_logits_[i] - log_sum_exp,
                     static_cast<uint32_t>(ranks[i]) + 1};
    std::vector<Candidate>& top = facts_[i].top;
    SortCandidates(1.0f, top);
    if (static_cast<int>(top.size()) > needs_[i].top) top.resize(needs_[i].top);
    for (const Candidate& next : top)
      out_[i].top_logprobs.push_back(
          {next.id, next.logit - log_sum_exp,
           static_cast<uint32_t>(out_[i].top_logprobs.size()) + 1});
  }
}

}  // namespace

void SampleRows(MatrixView logits, std::span<const LogitsRow> rows,
                const VocabSpec& vocab, const RowKernels& kernels,
                TensorGroup& group, std::span<SampledRow> out) {
  CHECK_EQ(static_cast<int>(vocab.rank_ends.size()), group.size());
  CHECK_EQ(vocab.rank_ends.back(), vocab.vocab_size);
  if (rows.empty()) return;
  Sampling(logits, rows, vocab, kernels, group, out).Run();
}

}  // namespace quatrain
