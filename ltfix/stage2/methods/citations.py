"""The papers behind the built-in methods, as BibTeX. What is not known for certain is left out."""

from __future__ import annotations

from typing import NamedTuple

from ltfix.stage2.methods.method import Method

_CVPR = "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)"
_ICLR = "International Conference on Learning Representations (ICLR)"
_NEURIPS = "Advances in Neural Information Processing Systems (NeurIPS)"
_ICML = "International Conference on Machine Learning (ICML)"
_ICCV = "IEEE International Conference on Computer Vision (ICCV)"


class Paper(NamedTuple):
    """A paper: authors as BibTeX has them ("" where not known), its title, where and when."""

    authors: str
    title: str
    venue: str
    year: int
    arxiv: str = ""

    def bibtex(self, key: str) -> str:
        """The entry; of a conference where the venue is one."""
        journal = self.venue.startswith("IEEE Access")
        kind, place = ("article", "journal") if journal else ("inproceedings", "booktitle")
        fields = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            place: self.venue,
            "year": str(self.year),
        }
        fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv" if self.arxiv else ""}
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{kind if self.venue else 'misc'}{{{key},", *lines, "}"])


PAPERS = {
    "samn2026": Paper(
        "",
        "Why Not Hyperparameter-Friendly Optimisation? A Monotonic Adaptive Norm Rescaling Approach "
        "For Long-Tailed Recognition",
        _CVPR,
        2026,
        "2606.02526",
    ),
    "sun2025los": Paper(
        "Sun, Siyu and others",
        "Rethinking Classifier Re-Training in Long-Tailed Recognition: Label Over-Smooth Can Balance",
        _ICLR,
        2025,
    ),
    "kang2020decoupling": Paper(
        "Kang, Bingyi and Xie, Saining and Rohrbach, Marcus and Yan, Zhicheng and Gordo, Albert and "
        "Feng, Jiashi and Kalantidis, Yannis",
        "Decoupling Representation and Classifier for Long-Tailed Recognition",
        _ICLR,
        2020,
    ),
    "menon2021longtail": Paper(
        "Menon, Aditya Krishna and Jayasumana, Sadeep and Rawat, Ankit Singh and Jain, Himanshu and "
        "Veit, Andreas and Kumar, Sanjiv",
        "Long-tail learning via logit adjustment",
        _ICLR,
        2021,
    ),
    "hasegawa2023exploring": Paper(
        "Hasegawa, Naoya and Sato, Issei",
        "Exploring Weight Balancing on Long-Tailed Recognition Problem",
        "",
        2023,
    ),
    "kim2020adjusting": Paper(
        "Kim, Byungju and Kim, Junmo",
        "Adjusting Decision Boundary for Class Imbalanced Learning",
        "IEEE Access",
        2020,
    ),
    "ren2020balanced": Paper(
        "Ren, Jiawei and Yu, Cunjun and Sheng, Shunan and Ma, Xiao and Zhao, Haiyu and Yi, Shuai and "
        "Li, Hongsheng",
        "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
        _NEURIPS,
        2020,
    ),
    "kini2021label": Paper(
        "Kini, Ganesh Ramachandra and Paraskevas, Orestis and Oymak, Samet and Thrampoulidis, Christos",
        "Label-Imbalanced and Group-Sensitive Classification under Overparameterization",
        _NEURIPS,
        2021,
    ),
    "ye2020identifying": Paper(
        "Ye, Han-Jia and Chen, Hong-You and Zhan, De-Chuan and Chao, Wei-Lun",
        "Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning",
        "",
        2020,
    ),
    "hong2021disentangling": Paper(
        "Hong, Youngkyu and Han, Seungju and Choi, Kwanghee and Seo, Seokjun and Kim, Beomsu and Chang, Buru",
        "Disentangling Label Distribution for Long-tailed Visual Recognition",
        _CVPR,
        2021,
    ),
    "zhang2021distribution": Paper(
        "Zhang, Songyang and Li, Zeming and Yan, Shipeng and He, Xuming and Sun, Jian",
        "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition",
        _CVPR,
        2021,
    ),
    "cui2019class": Paper(
        "Cui, Yin and Jia, Menglin and Lin, Tsung-Yi and Song, Yang and Belongie, Serge",
        "Class-Balanced Loss Based on Effective Number of Samples",
        _CVPR,
        2019,
    ),
    "lin2017focal": Paper(
        "Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Doll{\\'a}r, Piotr",
        "Focal Loss for Dense Object Detection",
        _ICCV,
        2017,
    ),
    "alshammari2022long": Paper(
        "Alshammari, Shaden and Wang, Yu-Xiong and Ramanan, Deva and Kong, Shu",
        "Long-Tailed Recognition via Weight Balancing",
        _CVPR,
        2022,
    ),
    "gidaris2018dynamic": Paper(
        "Gidaris, Spyros and Komodakis, Nikos",
        "Dynamic Few-Shot Visual Learning without Forgetting",
        _CVPR,
        2018,
    ),
    "shi2024longtail": Paper(
        "Shi, Jiang-Xin and Wei, Tong and Zhou, Zhi and Shao, Jie-Jing and Han, Xin-Yan and Li, Yu-Feng",
        "Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts",
        _ICML,
        2024,
    ),
    "cao2019learning": Paper(
        "Cao, Kaidi and Wei, Colin and Gaidon, Adrien and Arechiga, Nikos and Ma, Tengyu",
        "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        _NEURIPS,
        2019,
    ),
    "zhong2021improving": Paper(
        "Zhong, Zhisheng and Cui, Jiequan and Liu, Shu and Jia, Jiaya",
        "Improving Calibration for Long-Tailed Recognition",
        _CVPR,
        2021,
    ),
    "tang2020longtailed": Paper(
        "Tang, Kaihua and Huang, Jianqiang and Zhang, Hanwang",
        "Long-Tailed Classification by Keeping the Good and Removing the Bad Momentum Causal Effect",
        _NEURIPS,
        2020,
    ),
}
_IN_SOURCE = {  # words of a method's source -> the paper
    "SAMN": "samn2026",
    "LOS": "sun2025los",
    "Kang": "kang2020decoupling",
    "Menon": "menon2021longtail",
    "Hasegawa": "hasegawa2023exploring",
    "Kim & Kim": "kim2020adjusting",
    "Ren et": "ren2020balanced",
    "Kini": "kini2021label",
    "Ye et": "ye2020identifying",
    "Hong": "hong2021disentangling",
    "Zhang et": "zhang2021distribution",
    "Cui": "cui2019class",
    "Lin et": "lin2017focal",
    "Alshammari": "alshammari2022long",
    "Gidaris": "gidaris2018dynamic",
    "Shi et": "shi2024longtail",
    "Cao": "cao2019learning",
    "Zhong": "zhong2021improving",
    "MiSLAS": "zhong2021improving",
    "Tang": "tang2020longtailed",
}


def bibtex(method: Method) -> str:
    """The papers that a method's source names, one entry each; "" of a method that names none of ours."""
    keys = dict.fromkeys(key for word, key in _IN_SOURCE.items() if word in method.source)
    return "\n\n".join(PAPERS[key].bibtex(key) for key in keys)
