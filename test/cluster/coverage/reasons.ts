// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What every kind of a plain API server is, and why a ready-made policy leaves it alone. A kind that is not here fails
// the coverage test.

/** Classes of kinds; each kind, with its subresource, is in one. */
export const classes = {
  'what starts code': [
    ...['pods', 'pods/status', 'pods/binding', 'pods/ephemeralcontainers', 'pods/eviction', 'pods/resize', 'bindings'],
    ...['deployments.apps', 'deployments/scale.apps', 'deployments/status.apps'],
    ...['replicasets.apps', 'replicasets/scale.apps', 'replicasets/status.apps'],
    ...['statefulsets.apps', 'statefulsets/scale.apps', 'statefulsets/status.apps'],
    ...['daemonsets.apps', 'daemonsets/status.apps'],
    ...['replicationcontrollers', 'replicationcontrollers/scale', 'replicationcontrollers/status'],
    ...['jobs.batch', 'jobs/status.batch', 'cronjobs.batch', 'cronjobs/status.batch'],
  ],
  'connections into running pods': [
    ...['pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'services/proxy', 'nodes/proxy'],
  ],
  secrets: ['secrets'],
  namespaces: ['namespaces', 'namespaces/status', 'namespaces/finalize'],
  'configuration and records that running code reads': [
    ...['configmaps', 'podtemplates', 'controllerrevisions.apps', 'events', 'events.events.k8s.io'],
    'leases.coordination.k8s.io',
  ],
  'identities and certificates': [
    ...['serviceaccounts', 'serviceaccounts/token', 'certificatesigningrequests.certificates.k8s.io'],
    ...[
      'certificatesigningrequests/approval.certificates.k8s.io',
      'certificatesigningrequests/status.certificates.k8s.io',
    ],
    ...['clustertrustbundles.certificates.k8s.io', 'podcertificaterequests.certificates.k8s.io'],
    'podcertificaterequests/status.certificates.k8s.io',
  ],
  rights: [
    ...['roles.rbac.authorization.k8s.io', 'rolebindings.rbac.authorization.k8s.io'],
    ...['clusterroles.rbac.authorization.k8s.io', 'clusterrolebindings.rbac.authorization.k8s.io'],
  ],
  'the API itself': [
    ...['apiservices.apiregistration.k8s.io', 'apiservices/status.apiregistration.k8s.io'],
    ...['customresourcedefinitions.apiextensions.k8s.io', 'customresourcedefinitions/status.apiextensions.k8s.io'],
    ...['storageversionmigrations.storagemigration.k8s.io', 'storageversionmigrations/status.storagemigration.k8s.io'],
    ...['flowschemas.flowcontrol.apiserver.k8s.io', 'flowschemas/status.flowcontrol.apiserver.k8s.io'],
    'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io',
    'prioritylevelconfigurations/status.flowcontrol.apiserver.k8s.io',
  ],
  'admission configuration': [
    ...['mutatingwebhookconfigurations', 'validatingwebhookconfigurations', 'mutatingadmissionpolicies'],
    ...['mutatingadmissionpolicybindings', 'validatingadmissionpolicies', 'validatingadmissionpolicies/status'],
    'validatingadmissionpolicybindings',
  ].map((name) => `${name}.admissionregistration.k8s.io`),
  'questions that persist nothing': [
    ...['localsubjectaccessreviews', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'subjectaccessreviews'].map(
      (name) => `${name}.authorization.k8s.io`,
    ),
    ...['selfsubjectreviews.authentication.k8s.io', 'tokenreviews.authentication.k8s.io'],
  ],
  'network and traffic': [
    ...['services', 'services/status', 'endpoints', 'endpointslices.discovery.k8s.io'],
    ...['ingresses', 'ingresses/status', 'ingressclasses', 'networkpolicies', 'ipaddresses', 'servicecidrs'].map(
      (name) => `${name}.networking.k8s.io`,
    ),
    'servicecidrs/status.networking.k8s.io',
  ],
  storage: [
    ...['persistentvolumeclaims', 'persistentvolumeclaims/status', 'persistentvolumes', 'persistentvolumes/status'],
    ...['csidrivers', 'csinodes', 'csinodes/status', 'csistoragecapacities', 'storageclasses', 'volumeattachments'].map(
      (name) => `${name}.storage.k8s.io`,
    ),
    ...['volumeattachments/status.storage.k8s.io', 'volumeattributesclasses.storage.k8s.io'],
  ],
  'nodes, devices, limits and scaling': [
    ...['nodes', 'nodes/status', 'limitranges', 'resourcequotas', 'resourcequotas/status'],
    ...['horizontalpodautoscalers.autoscaling', 'horizontalpodautoscalers/status.autoscaling'],
    ...['poddisruptionbudgets.policy', 'poddisruptionbudgets/status.policy', 'priorityclasses.scheduling.k8s.io'],
    ...['runtimeclasses.node.k8s.io', 'deviceclasses.resource.k8s.io', 'devicetaintrules.resource.k8s.io'],
    ...[
      'devicetaintrules/status.resource.k8s.io',
      'resourceclaims.resource.k8s.io',
      'resourceclaims/status.resource.k8s.io',
    ],
    ...['resourceclaimtemplates.resource.k8s.io', 'resourceslices.resource.k8s.io'],
  ],
} as const satisfies Record<string, readonly string[]>;

export type KindClass = keyof typeof classes;

const ownPolicy = 'Write a policy of your own where they matter.';
const labelled = 'The policy governs only Secrets with its label';

/** Why kinds of a class are not gated by a policy that has no reason of its own. */
const general: Readonly<Record<KindClass, string>> = {
  'what starts code': 'production-deploys governs what runs.',
  'connections into running pods':
    'They change no object. production-exec governs all of them, as any policy does that governs CONNECT of pods/exec.',
  secrets: 'secret-deletion governs Secrets.',
  namespaces:
    'A change that leaves the namespace and its selecting labels in place harms nothing that the policy governs.',
  'configuration and records that running code reads':
    'Kubernetes does not know what code does with them. Name them in a policy where it matters.',
  'identities and certificates':
    'token-release governs them: certificate requests and their approval, tokens and Secrets of tokens, and accounts and pods in exempt namespaces, as any policy does that governs the creation of accounts, tokens or certificates. Name signing and the newer certificate kinds in a policy of your own.',
  rights: 'rbac-escalation governs what grants rights.',
  'the API itself':
    'An account that writes APIServices or CustomResourceDefinitions gets around every policy. The roles of the chart for gated accounts leave these out.',
  'admission configuration':
    'The API server never calls admission webhooks for it (measured). The roles of the chart for gated accounts leave it out.',
  'questions that persist nothing': 'They have no effect.',
  'network and traffic':
    'new-egress governs NetworkPolicies. Write a policy of your own for the others, where they matter.',
  storage: ownPolicy,
  'nodes, devices, limits and scaling': ownPolicy,
};

/** Where a policy has a reason of its own. */
const ofPolicy: Readonly<Record<string, Partial<Record<KindClass, string>>>> = {
  'secret-deletion': { secrets: 'The policy governs deletion. A new or changed Secret can be brought back.' },
  'production-exec': {
    'what starts code':
      'Of what starts code only debug containers enter a running pod. production-deploys governs the others.',
  },
  'rbac-escalation': {
    rights: 'RBAC has no rule that forbids, so taking a right away gives nobody anything.',
    'identities and certificates':
      'token-release governs who acts as somebody else. An admission policy of the chart protects the annotation stepup.dev/owner.',
  },
  'token-release': {
    'what starts code': 'Pods are gated where some account is exempt. Elsewhere production-deploys governs them.',
    secrets: 'Secrets of the type that Kubernetes fills with a token are gated. Deleting one hands out nothing.',
    'identities and certificates':
      'Deleting an account or a request hands out nothing. Name signing and the newer certificate kinds in a policy of your own.',
  },
  'credential-rotation': {
    secrets: `${labelled}, and of these changes of data that remove nothing. key-revocation governs what removes data.`,
  },
  'key-revocation': {
    secrets: `${labelled}, and of these what removes data or the label. A new Secret removes nothing.`,
  },
  'new-egress': {
    'network and traffic':
      'Only NetworkPolicies say what may leave a pod. A Service, an endpoint or an ingress is another name for a place that they allow or do not.',
    'what starts code':
      'Labels decide which policies select a pod, and with hostNetwork none does. production-deploys governs both.',
  },
  'production-deploys': {
    'nodes, devices, limits and scaling':
      'They move or limit what runs. Of autoscalers the target and the bounds are governed; their other fields move replicas within these.',
  },
};

export function reasonFor(policy: string, kindClass: KindClass): string {
  return ofPolicy[policy]?.[kindClass] ?? general[kindClass];
}

/** The reason that holds for every policy without one of its own. */
export function generalReason(kindClass: KindClass): string {
  return general[kindClass];
}
