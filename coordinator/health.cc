#include "coordinator/health.h"

#include "base/check.h"

namespace quatrain {

bool TakesRequests(EnginePhase phase) {
  return phase == EnginePhase::kReady || phase == EnginePhase::kDegraded;
}

Health::Health(grpc::HealthCheckServiceInterface* service) : service_(service) {
  CHECK(service != nullptr);
  SetReady(false);
  service_->SetServingStatus("startup", false);
  service_->SetServingStatus("liveness", true);
}

void Health::SetServing(bool serving) {
  if (serving == serving_) return;
  serving_ = serving;
  SetReady(serving);
  if (serving) service_->SetServingStatus("startup", true);
}

void Health::SetReady(bool ready) {
  for (const char* name : {"", "quatrain.v1.InferenceService", "readiness"})
    service_->SetServingStatus(name, ready);
}

}  // namespace quatrain
