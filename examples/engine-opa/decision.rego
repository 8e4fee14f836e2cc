# Decides on approvals for stepup (docs/engines.md), at /v1/data/stepup/decision, with format opa.
package stepup

# The first rule that is true decides, and the decision records its id. If none is true, the engine abstains.
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
