# The engine's sources, for cmake/simt.cmake.
set(quatrain_simt_sources
  access.cc
  arena.cc
  atomic.cc
  banks.cc
  block_barrier.cc
  buffers.cc
  bulk.cc
  checks.cc
  clocks.cc
  collide.cc
  copies.cc
  counters.cc
  cta.cc
  enqueue.cc
  fail.cc
  fiber.cc
  half_bits.cc
  ldmatrix.cc
  loads.cc
  mbarrier.cc
  mma.cc
  origin.cc
  pick.cc
  race.cc
  rendezvous.cc
  run.cc
  sectors.cc
  shadow.cc
  stacks.cc
  stream.cc
  symbols.cc
  sync_words.cc
  traffic.cc
  wgmma.cc)
set(quatrain_simt_sources_asan ubsan.cc)
set(quatrain_simt_sources_check hooks.cc ubsan.cc)
