// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The table of pinned binaries: which Go module builds each one, at which version and with which flags.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const controlPlaneTools = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl', 'helm'] as const;
/** With what only some tests start, and build when they do. */
export const toolNames = [...controlPlaneTools, 'opa', 'helm4', 'promtool', 'glua'] as const;
export type ToolName = (typeof toolNames)[number];

export interface Tool {
  readonly name: ToolName;
  /** Folder of the go.mod that pins the version. */
  readonly moduleDir: string;
  readonly goPackage: string;
  readonly buildFlags: readonly string[];
  /** Cache folder name: another version, dependency or flag is another folder. */
  readonly cacheKey: string;
}

/** Everything needed to find or build one binary; the versions come from go.mod alone. */
export function describeTool(name: ToolName): Tool {
  switch (name) {
    case 'helm':
      return helm();
    case 'helm4':
      return helm4();
    case 'opa':
    case 'promtool':
    case 'glua':
      return plain(name);
    default:
      return kubernetes(name);
  }
}

const kubernetesPackages = {
  etcd: 'go.etcd.io/etcd/server/v3',
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
  kubectl: 'k8s.io/kubernetes/cmd/kubectl',
} as const;

/** Built as they are. */
const plainTools = {
  opa: { folder: 'opa', module: 'github.com/open-policy-agent/opa', goPackage: 'github.com/open-policy-agent/opa' },
  promtool: {
    folder: 'prometheus',
    module: 'github.com/prometheus/prometheus',
    goPackage: 'github.com/prometheus/prometheus/cmd/promtool',
    // Without the clients of every cloud, which rules do not need and which take most of the time to build.
    flags: ['-tags', 'remove_all_sd'],
  },
  glua: {
    folder: 'gopher-lua',
    module: 'github.com/yuin/gopher-lua',
    goPackage: 'github.com/yuin/gopher-lua/cmd/glua',
  },
} as const;

function plain(name: keyof typeof plainTools): Tool {
  const { folder, module, goPackage, ...rest } = plainTools[name];
  const { dir, version, sums } = readModule(folder, module);
  const flags = 'flags' in rest ? rest.flags : [];
  return tool({ name, moduleDir: dir, goPackage, flags, ldflags: [], version, sums });
}

function kubernetes(name: keyof typeof kubernetesPackages): Tool {
  const { dir, version, sums } = readModule('kubernetes', 'k8s.io/kubernetes');
  const [major = '', minor = ''] = version.slice(1).split('.');
  // Without these a binary built outside Kubernetes' own build reports v0.0.0, which helm and clients refuse.
  const stamp = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  const ldflags = Object.entries(stamp).map(([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`);
  return tool({ name, moduleDir: dir, goPackage: kubernetesPackages[name], ldflags, version, sums });
}

function helm(): Tool {
  const { dir, version, sums } = readModule('helm', 'helm.sh/helm/v3');
  const kubernetesVersion = readModule('kubernetes', 'k8s.io/kubernetes').version;
  const [major = '', minor = ''] = kubernetesVersion.slice(1).split('.');
  const ldflags = [
    `-X helm.sh/helm/v3/internal/version.version=${version}`,
    `-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=${major}`,
    `-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=${minor}`,
  ];
  return tool({ name: 'helm', moduleDir: dir, goPackage: 'helm.sh/helm/v3/cmd/helm', ldflags, version, sums });
}

/** Helm 4 learns the version of Kubernetes from its own libraries. */
function helm4(): Tool {
  const { dir, version, sums } = readModule('helm4', 'helm.sh/helm/v4');
  const ldflags = [`-X helm.sh/helm/v4/internal/version.version=${version}`];
  return tool({ name: 'helm4', moduleDir: dir, goPackage: 'helm.sh/helm/v4/cmd/helm', ldflags, version, sums });
}

interface ToolParts {
  readonly name: ToolName;
  readonly moduleDir: string;
  readonly goPackage: string;
  readonly flags?: readonly string[];
  readonly ldflags: readonly string[];
  readonly version: string;
  readonly sums: string;
}

function tool({ name, moduleDir, goPackage, flags = [], ldflags, version, sums }: ToolParts): Tool {
  const buildFlags = ['-trimpath', ...flags, '-ldflags', ['-s', '-w', ...ldflags].join(' ')];
  const hash = createHash('sha256').update(sums).update(buildFlags.join('\0')).digest('hex').slice(0, 12);
  return { name, moduleDir, goPackage, buildFlags, cacheKey: `${version}-${hash}` };
}

interface PinnedModule {
  readonly dir: string;
  readonly version: string;
  readonly sums: string;
}

function readModule(folder: string, path: string): PinnedModule {
  const dir = join(import.meta.dirname, 'tools', folder);
  const goMod = readFileSync(join(dir, 'go.mod'), 'utf8');
  const version = goMod.split('\n').flatMap((line) => {
    const [first, second] = line
      .trim()
      .replace(/^require /, '')
      .split(' ');
    return first === path && second?.startsWith('v') ? [second] : [];
  })[0];
  if (!version) throw new Error(`read version of ${path}: not required in ${join(dir, 'go.mod')}`);
  return { dir, version, sums: goMod + readFileSync(join(dir, 'go.sum'), 'utf8') };
}
