# Decides on approvals for stepup (docs/engines.md). Ask OPA for /v1/data/stepup/decision, format opa.
package stepup

# The first rule that holds decides; its id is kept with the decision. Where none holds, the engine says that it does not know.
decision := denial("protected", "this ConfigMap may not be deleted") if {
	startswith(input.action.name, "protected-")
} else := denial("critical-is-for-people", "the policy calls this critical") if {
	input.policy.risk.level == "Critical"
} else := approval("done-before", "this account has deleted it before") if {
	input.history.firstTime == false
} else := approval("temporary", "it was made to be deleted") if {
	startswith(input.action.name, "tmp-")
} else := {"verdict": "Abstain", "reason": "no rule speaks of it"}

approval(rule, reason) := {"verdict": "Approve", "rule": rule, "reason": reason}

denial(rule, reason) := {"verdict": "Deny", "rule": rule, "reason": reason}
